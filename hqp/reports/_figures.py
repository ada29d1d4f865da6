"""The figures of a report, each of one model of a run, by the name that a user types."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hqp.records import Estimate, Measurement, Results
from hqp.reports import _history, _numbers
from hqp.reports._drawing import PALETTE, Draw, arms, figure, grid

# Beyond so many samples over all cases a figure shows the median of each block, so that a page stays small.
MOST_SAMPLES = 20_000
# Between the rows of a figure that has one a case.
ROW_INCHES = 0.34

# By which methods are told apart, in the order in which they are drawn.
MARKS = "osD^vPX*"

# How a candidate was judged on its way: in which words, with which mark and in which colour.
JUDGES = {
    "module": ("pruned, in PyTorch on 'selection'", "o", "accent"),
    "file": ("the file, in the runtime on 'selection'", "s", "inconclusive"),
    "certificate": ("the file, in the runtime on 'test'", "D", "pass"),
}

# --- the figures --------------------------------------------------------------------------------------------------


def accuracy_and_latency(results: Results, model: str) -> Any:
    """Top-1 lost against latency, with both intervals; the line is Δmax, and filled marks are on the Pareto front."""
    devices = _by_device(results, model)
    drawn, rows = figure(len(devices), 2.9)
    for axes, (device, measured) in zip(rows, devices.items(), strict=True):
        points = [point for point in map(_point, measured) if point]
        axes.set_title(device)
        axes.set_xlabel("median latency, ms")
        axes.set_ylabel("top-1 lost, pp")
        delta_max_pp = measured[0].sidecar.settings.delta_max_pp
        axes.axhline(delta_max_pp, color=PALETTE["fail"], linestyle="--", linewidth=1)
        below = {"textcoords": "offset points", "xytext": (4, -4), "va": "top", "fontsize": "small"}
        axes.annotate(f"Δmax {delta_max_pp:g}", (0, delta_max_pp), color=PALETTE["fail"], **below)
        fronts = _front([(latency.value, drop.value) for _, latency, drop in points])
        for (method, latency, drop), front in zip(points, fronts, strict=True):
            axes.errorbar(
                latency.value,
                drop.value,
                xerr=arms(latency),
                yerr=arms(drop),
                fmt="o",
                color=PALETTE["accent"],
                markerfacecolor=PALETTE["accent"] if front else "none",
                linewidth=1,
            )
            axes.annotate(method, (latency.value, drop.value), textcoords="offset points", xytext=(6, 5))
        axes.set_xlim(left=0)
    return drawn


def speedups(results: Results, model: str) -> Any:
    """How many times as fast as FP32 each case is, with its interval; a tick is a threshold that a gate holds it to."""
    measured = _measured(results, model)
    drawn, (axes,) = figure(1, 1.0 + ROW_INCHES * len(measured))
    for place, row in enumerate(measured):
        estimate = _numbers.speedup(row)
        if estimate is None:
            continue
        outcome = _numbers.outcome(results.judgements, row.case, "speedup")
        colour = PALETTE[outcome or "accent"]
        axes.errorbar(estimate.value, place, xerr=arms(estimate), fmt="o", color=colour, linewidth=2)
        for threshold in thresholds(results, row):
            axes.plot([threshold, threshold], [place - 0.35, place + 0.35], color=PALETTE["ink"], linewidth=1.5)
    axes.axvline(1, color=PALETTE["muted"], linestyle="--", linewidth=1)
    axes.set_yticks(range(len(measured)), [f"{row.case.method}, {row.case.device}" for row in measured])
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("times as fast as FP32")
    return drawn


def samples(results: Results, model: str) -> Any:
    """The latencies of each case, ms, in the order in which they were taken; a mark is the median of a block.

    Of a short run each inference is drawn, and a line stands between two blocks.
    """
    measured = [row for row in _measured(results, model) if row.latency.blocks]
    columns = 3
    lines = max(1, math.ceil(len(measured) / columns))
    drawn, axes = grid(lines, columns)
    whole = sum(row.latency.candidate_ms.size for row in results.measurements) <= MOST_SAMPLES
    for place, row in enumerate(measured):
        _draw_samples(axes[place], row, whole)
    for unused in axes[len(measured) :]:
        unused.set_axis_off()
    return drawn


def pruning_path(results: Results, model: str) -> Any:
    """What each judged candidate lost, by the share of its filters that are gone; a cross was not within the bound.

    Above a mark stands its upper limit; a cross at the top ended before its pass did, certain to break the bound.
    """
    measured = [row for row in _measured(results, model) if any(one.sparsity for one in row.sidecar.tried)]
    drawn, rows = figure(max(1, len(measured)), 2.4)
    for axes, row in zip(rows, measured, strict=False):
        _draw_path(axes, row)
    for axes in rows[:1]:
        _judge_legend(axes)
    if not measured:
        rows[0].set_axis_off()
    return drawn


def costs(results: Results, model: str) -> Any:
    """What making each artefact took, step by step, beside quantisation-aware training of the same model."""
    measured = [row for row in _measured(results, model) if row.sidecar.spent.steps]
    names = list(dict.fromkeys(cost.step for row in measured for cost in row.sidecar.spent.steps))
    drawn, (axes,) = figure(1, 1.2 + ROW_INCHES * len(measured))
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
    return drawn


def history(results: Results, model: str) -> Any:
    """Speed-up and top-1 of each case over the baselines in git, the oldest first; a line is of one environment."""
    points = _history.read(results).of(results, model)
    devices = [device for device in _by_device(results, model) if any(point.case.device == device for point in points)]
    drawn, axes = figure(len(devices), 2.6, columns=2)
    for place, device in enumerate(devices):
        mine = [point for point in points if point.case.device == device]
        speed, accuracy = axes[2 * place : 2 * place + 2]
        _draw_history(speed, mine, "times as fast as FP32", lambda point: point.speedup)
        _draw_history(accuracy, mine, "top-1 %", _top1_percent)
        speed.set_title(device)
        accuracy.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), fontsize="small")
    return drawn


# By the name that a user types.
FIGURES: dict[str, Draw] = {
    "accuracy-latency": accuracy_and_latency,
    "speedups": speedups,
    "pruning-path": pruning_path,
    "samples": samples,
    "costs": costs,
    "history": history,
}


def names(stored: _history.History) -> list[str]:
    """The figures that there is something to draw of: without a baseline in git there is no history."""
    return [name for name, draw in FIGURES.items() if draw is not history or stored.points]


# --- what is drawn ------------------------------------------------------------------------------------------------


def _point(measurement: Measurement) -> tuple[str, Estimate, Estimate] | None:
    across, up = _numbers.latency(measurement), _numbers.drop(measurement)
    return (measurement.case.method, across, up) if across and up else None


def _front(points: Sequence[tuple[float, float]]) -> list[bool]:
    """Whether each point is on the Pareto front: no other is as good in both ways and better in one."""

    def beaten(mine: tuple[float, float]) -> bool:
        return any(other != mine and other[0] <= mine[0] and other[1] <= mine[1] for other in points)

    return [not beaten(point) for point in points]


def thresholds(results: Results, measurement: Measurement) -> list[float]:
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
    axes.set_ylim(0, 1.15 * max(values))
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid(False)
    axes.tick_params(labelsize="small")


def _draw_path(axes: Any, row: Measurement) -> None:
    delta_max_pp = row.sidecar.settings.delta_max_pp
    # What was given up early has no drop: it stands above the line that it would have crossed.
    top = 2 * delta_max_pp
    for judged, (_, marker, colour) in JUDGES.items():
        tried = [one for one in row.sidecar.tried if one.judged == judged]
        for one in tried:
            drop = top if one.drop_pp is None else one.drop_pp
            limit = drop if one.upper_pp is None else one.upper_pp
            held = marker if one.held else "x"
            axes.plot([100 * one.sparsity] * 2, [drop, min(limit, top)], color=PALETTE[colour], linewidth=0.8)
            axes.plot([100 * one.sparsity], [drop], held, color=PALETTE[colour], markersize=5)
    axes.axhline(delta_max_pp, color=PALETTE["fail"], linestyle="--", linewidth=1)
    axes.set_title(f"{row.case.method}, {row.case.device}")
    axes.set_xlabel("θ, % of the filters")
    axes.set_ylabel("top-1 lost, pp")
    axes.set_xlim(left=0)


def _judge_legend(axes: Any) -> None:
    """What the marks of all axes of the figure mean, above the first of them."""
    for name, marker, colour in JUDGES.values():
        axes.plot([], [], marker, linestyle="", color=PALETTE[colour], markersize=5, label=name)
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.1), fontsize="small", ncols=len(JUDGES))


def _draw_history(
    axes: Any, points: Sequence[_history.Point], title: str, value: Callable[[_history.Point], Estimate | None]
) -> None:
    """A line for each method and environment, over the commits in their order, and this run last."""
    commits = list(dict.fromkeys(point.commit for point in points))
    # Commits that stored a baseline of another method alone come in between.
    commits = [*(commit for commit in commits if commit), *([""] if "" in commits else [])]
    lines: dict[tuple[str, str], list[tuple[int, Estimate]]] = {}
    for point in points:
        told = value(point)
        if told is not None:
            line = lines.setdefault((point.case.method, point.environment), [])
            line.append((commits.index(point.commit), told))
    methods = list(dict.fromkeys(point.case.method for point in points))
    for (method, _), line in lines.items():
        # Methods differ in their marks and in strength, so that they are told apart without colour.
        place = methods.index(method)
        known = method in axes.get_legend_handles_labels()[1]
        axes.errorbar(
            [across for across, _ in line],
            [told.value for _, told in line],
            yerr=np.hstack([arms(told) for _, told in line]),
            color=PALETTE["accent"],
            # The last of a suite is the one that it is about.
            alpha=0.4 + 0.6 * (place + 1) / len(methods),
            marker=MARKS[place % len(MARKS)],
            markersize=4,
            linewidth=1,
            label="" if known else method,
        )
    axes.set_xticks(range(len(commits)), [commit[:7] or "this run" for commit in commits], rotation=45, ha="right")
    axes.set_ylabel(title)
    axes.tick_params(labelsize="small")


def _top1_percent(point: _history.Point) -> Estimate:
    """It is shown without an interval: a case is judged on the same images each time."""
    percent = 100 * point.top1
    return Estimate(percent, percent, percent, 1.0)


def _step_legend(axes: Any, names: Sequence[str]) -> None:
    from matplotlib.patches import Patch

    patches = [
        Patch(color=PALETTE["accent"], alpha=1 - 0.8 * place / max(1, len(names)), label=name)
        for place, name in enumerate(names)
    ]
    if patches:
        axes.legend(handles=patches, loc="upper left", bbox_to_anchor=(0, -0.9 / axes.figure.get_figheight()), ncols=4)
