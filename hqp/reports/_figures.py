"""The figures of a report: what is drawn of a run's results, and the numbers that are drawn.

A figure is a matplotlib ``Figure`` that no window ever shows. Its colours are those of ``PALETTE``, which a page may
replace by its own so that one drawing suits a light and a dark page.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from hqp.records import Estimate, Measurement, Results
from hqp.reports import _numbers

# By the name that a page gives each colour.
PALETTE = {
    "ink": "#1c2128",
    "muted": "#6a737d",
    "rule": "#d6d9de",
    "accent": "#1f5fbf",
    "pass": "#17723a",
    "fail": "#b42318",
    "inconclusive": "#8a5a00",
}

WIDTH_INCHES = 8.0
# Beyond so many samples over all cases a figure shows the median of each block, so that a page stays small.
MOST_SAMPLES = 20_000
# Between the rows of a figure that has one a case.
ROW_INCHES = 0.34

# How a candidate was judged on its way: in which words, with which mark and in which colour.
JUDGES = {
    "module": ("pruned, in PyTorch on 'selection'", "o", "accent"),
    "file": ("the file, in the runtime on 'selection'", "s", "inconclusive"),
    "certificate": ("the file, in the runtime on 'test'", "D", "pass"),
}

STYLE: dict[str, Any] = {
    "axes.edgecolor": PALETTE["muted"],
    "axes.grid": True,
    "axes.labelcolor": PALETTE["ink"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 10,
    "grid.color": PALETTE["rule"],
    "legend.frameon": False,
    "savefig.facecolor": "none",
    # Text stays text: it can be read aloud, searched and copied, and takes few bytes.
    "svg.fonttype": "none",
    "text.color": PALETTE["ink"],
    # A dollar in a model's name is a dollar.
    "text.parse_math": False,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
}

Draw = Callable[[Results, str], Any]


def svg(draw: Draw, results: Results, model: str) -> str:
    """A figure as SVG, the same bytes for the same results."""
    with _styled(f"{draw.__name__} {model}"):
        buffer = io.StringIO()
        figure = draw(results, model)
        # Without a date the drawing does not change from one run to the next.
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(draw: Draw, results: Results, model: str) -> bytes:
    """A figure as PNG on white."""
    with _styled(model):
        buffer = io.BytesIO()
        draw(results, model).savefig(buffer, format="png", bbox_inches="tight", dpi=160, facecolor="white")
    return buffer.getvalue()


@contextmanager
def _styled(salt: str) -> Iterator[None]:
    """The style of all figures; ``salt`` keeps the names within one SVG apart from those of the next on a page."""
    import matplotlib

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        # A sign that the measuring font lacks is drawn by the reader's own.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


# --- the figures --------------------------------------------------------------------------------------------------


def accuracy_and_latency(results: Results, model: str) -> Any:
    """Top-1 lost against latency, with both intervals; the line is Δmax, and filled marks are on the Pareto front."""
    devices = _by_device(results, model)
    figure, rows = _figure(len(devices), 2.9)
    for axes, (device, measured) in zip(rows, devices.items(), strict=True):
        points = [point for point in map(_point, measured) if point]
        axes.set_title(device)
        axes.set_xlabel("median latency, ms")
        axes.set_ylabel("top-1 lost, pp")
        axes.axhline(measured[0].sidecar.settings.delta_max_pp, color=PALETTE["fail"], linestyle="--", linewidth=1)
        fronts = _front([(latency.value, drop.value) for _, latency, drop in points])
        for (method, latency, drop), front in zip(points, fronts, strict=True):
            axes.errorbar(
                latency.value,
                drop.value,
                xerr=_arms(latency),
                yerr=_arms(drop),
                fmt="o",
                color=PALETTE["accent"],
                markerfacecolor=PALETTE["accent"] if front else "none",
                linewidth=1,
            )
            axes.annotate(method, (latency.value, drop.value), textcoords="offset points", xytext=(6, 5))
        axes.set_xlim(left=0)
    return figure


def speedups(results: Results, model: str) -> Any:
    """How many times as fast as FP32 each case is, with its interval; a tick is a threshold that a gate holds it to."""
    measured = _measured(results, model)
    figure, (axes,) = _figure(1, 1.0 + ROW_INCHES * len(measured))
    for place, row in enumerate(measured):
        estimate = _numbers.speedup(row)
        if estimate is None:
            continue
        outcome = _numbers.outcome(results.judgements, row.case, "speedup")
        colour = PALETTE[outcome or "accent"]
        axes.errorbar(estimate.value, place, xerr=_arms(estimate), fmt="o", color=colour, linewidth=2)
        for threshold in _thresholds(results, row):
            axes.plot([threshold, threshold], [place - 0.35, place + 0.35], color=PALETTE["ink"], linewidth=1.5)
    axes.axvline(1, color=PALETTE["muted"], linestyle="--", linewidth=1)
    axes.set_yticks(range(len(measured)), [f"{row.case.method}, {row.case.device}" for row in measured])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("times as fast as FP32")
    return figure


def samples(results: Results, model: str) -> Any:
    """The latencies of each case in the order in which they were taken; a line stands between two blocks."""
    measured = [row for row in _measured(results, model) if row.latency.blocks]
    columns = 3
    lines = max(1, math.ceil(len(measured) / columns))
    figure, axes = _grid(lines, columns)
    whole = sum(row.latency.candidate_ms.size for row in results.measurements) <= MOST_SAMPLES
    for place, row in enumerate(measured):
        _draw_samples(axes[place], row, whole)
    for unused in axes[len(measured) :]:
        unused.set_axis_off()
    return figure


def pruning_path(results: Results, model: str) -> Any:
    """What each judged candidate lost, by the share of its filters that are gone; a cross was not within the bound.

    Above a mark stands its upper limit; a cross at the top ended before its pass did, certain to break the bound.
    """
    measured = [row for row in _measured(results, model) if any(one.sparsity for one in row.sidecar.tried)]
    figure, rows = _figure(max(1, len(measured)), 2.4)
    for axes, row in zip(rows, measured, strict=False):
        _draw_path(axes, row)
    if not measured:
        rows[0].set_axis_off()
    return figure


def costs(results: Results, model: str) -> Any:
    """What making each artefact took, step by step, beside quantisation-aware training of the same model."""
    measured = [row for row in _measured(results, model) if row.sidecar.spent.steps]
    names = list(dict.fromkeys(cost.step for row in measured for cost in row.sidecar.spent.steps))
    figure, (axes,) = _figure(1, 1.2 + ROW_INCHES * len(measured))
    for place, row in enumerate(measured):
        start = 0.0
        for cost in row.sidecar.spent.steps:
            # Steps differ in strength, so that they are told apart without colour.
            strength = 1 - 0.8 * names.index(cost.step) / max(1, len(names))
            axes.barh(place, cost.seconds, left=start, color=PALETTE["accent"], alpha=strength, height=0.6)
            start += cost.seconds
        if row.sidecar.spent.qat:
            tenth = row.sidecar.spent.qat.seconds / 10
            axes.plot([tenth, tenth], [place - 0.4, place + 0.4], color=PALETTE["ink"], linewidth=1.5)
    axes.set_yticks(range(len(measured)), [f"{row.case.method}, {row.case.device}" for row in measured])
    axes.invert_yaxis()
    axes.set_xlabel("seconds; a tick is a tenth of quantisation-aware training")
    _step_legend(axes, names)
    return figure


# By the name that a user types.
FIGURES: dict[str, Draw] = {
    "accuracy-latency": accuracy_and_latency,
    "speedups": speedups,
    "pruning-path": pruning_path,
    "samples": samples,
    "costs": costs,
}


# --- what is drawn ------------------------------------------------------------------------------------------------


def _point(measurement: Measurement) -> tuple[str, Estimate, Estimate] | None:
    across, up = _numbers.latency(measurement), _numbers.drop(measurement)
    return (measurement.case.method, across, up) if across and up else None


def _front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point is on the Pareto front: no other is as good in both ways and better in one."""

    def beaten(mine: tuple[float, float]) -> bool:
        return any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in points)

    return [not beaten(point) for point in points]


def _thresholds(results: Results, measurement: Measurement) -> list[float]:
    """The ratios that the speed-up gates of a case ask for."""
    mine = (one for one in results.judgements if one.case == measurement.case and one.gate == "speedup")
    limits = (one.verdict.limits for one in mine if one.bound and one.verdict)
    return [limit["min_ratio"] for limit in limits if "min_ratio" in limit]


def _measured(results: Results, model: str) -> list[Measurement]:
    return [row for row in results.measurements if row.case.model == model]


def _by_device(results: Results, model: str) -> dict[str, list[Measurement]]:
    devices: dict[str, list[Measurement]] = {}
    for row in _measured(results, model):
        devices.setdefault(row.case.device, []).append(row)
    return devices


def _arms(estimate: Estimate) -> list[list[float]]:
    """How far an interval reaches below and above its value, as matplotlib wants it."""
    return [[max(0.0, estimate.value - estimate.lower)], [max(0.0, estimate.upper - estimate.value)]]


# --- how it is drawn ----------------------------------------------------------------------------------------------


def _draw_samples(axes: Any, row: Measurement, whole: bool) -> None:
    blocks = row.latency.blocks
    drawn = [list(block.candidate_ms) if whole else [float(np.median(block.candidate_ms))] for block in blocks]
    values = [value for block in drawn for value in block]
    axes.plot(values, color=PALETTE["accent"], linewidth=0.7, marker=None if whole else "o", markersize=2)
    if whole:
        ends = np.cumsum([len(block) for block in drawn])[:-1]
        axes.vlines(ends - 0.5, 0, 1, transform=axes.get_xaxis_transform(), color=PALETTE["rule"], linewidth=0.5)
    axes.set_title(f"{row.case.method}, {row.case.device}", fontsize="small")
    axes.set_ylim(bottom=0)
    axes.grid(False)
    axes.tick_params(labelsize="small")


def _draw_path(axes: Any, row: Measurement) -> None:
    delta_max_pp = row.sidecar.settings.delta_max_pp
    # What was given up early has no drop: it stands above the line that it would have crossed.
    top = 2 * delta_max_pp
    for judged, (name, marker, colour) in JUDGES.items():
        tried = [one for one in row.sidecar.tried if one.judged == judged]
        for one in tried:
            drop = top if one.drop_pp is None else one.drop_pp
            limit = drop if one.upper_pp is None else one.upper_pp
            held = marker if one.held else "x"
            axes.plot([100 * one.sparsity] * 2, [drop, min(limit, top)], color=PALETTE[colour], linewidth=0.8)
            axes.plot([100 * one.sparsity], [drop], held, color=PALETTE[colour], markersize=5)
        if tried:
            axes.plot([], [], marker, color=PALETTE[colour], markersize=5, label=name)
    axes.axhline(delta_max_pp, color=PALETTE["fail"], linestyle="--", linewidth=1)
    axes.set_title(f"{row.case.method}, {row.case.device}")
    axes.set_xlabel("θ, % of the filters")
    axes.set_ylabel("top-1 lost, pp")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")


def _step_legend(axes: Any, names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(color=PALETTE["accent"], alpha=1 - 0.8 * place / max(1, len(names)), label=name)
        for place, name in enumerate(names)
    ]
    if patches:
        axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, -0.9 / axes.figure.get_figheight()), ncols=4)


def _figure(rows: int, height_inches: float) -> tuple[Any, list[Any]]:
    """A figure of so many axes, one below the other."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(WIDTH_INCHES, height_inches * max(1, rows)), layout="constrained")
    return figure, [figure.add_subplot(max(1, rows), 1, place + 1) for place in range(rows)]


def _grid(lines: int, columns: int) -> tuple[Any, list[Any]]:
    """A figure of small axes side by side, placed by hand: a layout engine takes seconds for dozens of them."""
    from matplotlib.figure import Figure

    height_inches = 1.5 * lines
    figure = Figure(figsize=(WIDTH_INCHES, height_inches))
    figure.subplots_adjust(
        left=0.06, right=0.99, wspace=0.22, hspace=0.75, top=1 - 0.3 / height_inches, bottom=0.25 / height_inches
    )
    return figure, [figure.add_subplot(lines, columns, place + 1) for place in range(lines * columns)]
