"""The sensitivity map of a network, drawn: what each layer costs when it is compressed alone, and what it takes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hqp.records import NetworkProfile
from hqp.reports._drawing import PALETTE, figure

ROW_INCHES, LEAST_INCHES = 0.17, 2.5

# What is drawn of each layer: its name in the legend, the mark and the colour.
Series = tuple[str, Sequence[float | None], str, str]


def draw(profile: NetworkProfile) -> Any:
    """A row a layer: its mean sensitivity, what INT8 and what pruning it alone costs, and what it takes in either."""
    rows = profile.layers
    drawn, (sensitivity, cost, time) = figure(1, max(LEAST_INCHES, ROW_INCHES * len(rows)), columns=3)
    _marks(sensitivity, [("S", [row.sensitivity for row in rows], "o", "ink")])
    pruned = f"{profile.share:.0%} pruned"
    _marks(
        cost,
        [
            ("INT8", [row.quantised_nats for row in rows], "o", "accent"),
            (pruned, [row.pruned_nats for row in rows], "s", "inconclusive"),
        ],
    )
    _marks(
        time,
        [
            ("INT8", [_us(row.int8_ms) for row in rows], "o", "accent"),
            (profile.floats.upper(), [_us(row.float_ms) for row in rows], "D", "muted"),
        ],
    )
    for axes, title in ((sensitivity, "mean S"), (cost, "nats lost"), (time, "microseconds")):
        axes.set_title(title)
        axes.tick_params("x", labelsize="x-small")
        # The first layer on top.
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [])
    for axes in (sensitivity, cost):
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter("{x:g}")
    time.set_xlim(left=0)
    sensitivity.set_yticks(range(len(rows)), [row.layer for row in rows], fontsize="x-small")
    for axes in (cost, time):
        # Beside the title: no corner of the axes is sure to be free.
        axes.legend(fontsize="x-small", loc="lower right", bbox_to_anchor=(1.02, 1), ncols=2, handletextpad=0)
    drawn.suptitle(f"{profile.model} at {profile.input_size}x{profile.input_size} on {profile.device}", x=0, ha="left")
    return drawn


def _marks(axes: Any, series: Sequence[Series]) -> None:
    for name, values, mark, colour in series:
        known = [(value, place) for place, value in enumerate(values) if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), mark, markersize=3.5, color=PALETTE[colour], label=name)


def _us(ms: float | None) -> float | None:
    return None if ms is None else 1000 * ms
