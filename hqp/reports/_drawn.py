"""The numbers that each figure draws, a row a mark, for a spreadsheet or a program."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from hqp.records import Case, Cost, Estimate, Measurement, Results
from hqp.reports import _drawing, _figures, _history, _numbers

Row = dict[str, str | int | float | bool | None]


def interval(name: str, estimate: Estimate | None) -> Row:
    """A value and the bounds of its interval, each by a name that carries the unit."""
    values = (estimate.value, estimate.lower, estimate.upper) if estimate else (None, None, None)
    return dict(zip((name, f"{name}_lower", f"{name}_upper"), values, strict=True))


def _of(case: Case) -> Row:
    return {"model": case.model, "method": case.method, "device": case.device}


def _of_model(results: Results, model: str) -> list[Measurement]:
    return [row for row in results.measurements if row.case.model == model]


def accuracy_and_latency(results: Results, model: str) -> Iterator[Row]:
    """A row a case: both numbers with their intervals, and Δmax."""
    for row in _of_model(results, model):
        bound: Row = {"delta_max_pp": row.sidecar.settings.delta_max_pp}
        latency, drop = _numbers.latency(row), _numbers.drop(row)
        yield _of(row.case) | interval("latency_ms", latency) | interval("drop_pp", drop) | bound


def speedups(results: Results, model: str) -> Iterator[Row]:
    """A row a case: the ratio with its interval, and the highest threshold that a gate holds it to."""
    for row in _of_model(results, model):
        thresholds = _figures.thresholds(results, row)
        least: Row = {"min_ratio": max(thresholds) if thresholds else None}
        yield _of(row.case) | interval("speedup", _numbers.speedup(row)) | least


def pruning_path(results: Results, model: str) -> Iterator[Row]:
    """A row a candidate, in the order in which they were judged."""
    for row in _of_model(results, model):
        for step, tried in enumerate(row.sidecar.tried):
            judged: Row = {"step": step, "judged": tried.judged, "sparsity": tried.sparsity}
            yield _of(row.case) | judged | {"drop_pp": tried.drop_pp, "upper_pp": tried.upper_pp, "held": tried.held}


def samples(results: Results, model: str) -> Iterator[Row]:
    """A row an inference, in the order in which they were timed."""
    for row in _of_model(results, model):
        for number, block in enumerate(row.latency.blocks):
            for ms in block.candidate_ms:
                yield _of(row.case) | {"process": block.process, "block": number, "latency_ms": ms}


def costs(results: Results, model: str) -> Iterator[Row]:
    """A row a step of making each artefact, and one for what quantisation-aware training is estimated to take."""
    for row in _of_model(results, model):
        spent = row.sidecar.spent
        for cost in spent.steps:
            yield _of(row.case) | _cost(cost) | {"estimated": False}
        if spent.qat:
            yield _of(row.case) | _cost(spent.qat) | {"estimated": True}


def _cost(cost: Cost) -> Row:
    return {"step": cost.step, "seconds": cost.seconds, "images": cost.images, "passes": cost.passes}


def history(results: Results, model: str) -> Iterator[Row]:
    """A row a stored state of a case; this run's has no commit."""
    for point in _history.read(results).of(results, model):
        stored: Row = {"commit": point.commit, "date": point.date, "environment": point.environment}
        told: Row = {"median_ms": point.median_ms, "model_bytes": point.model_bytes, "sparsity": point.sparsity}
        yield _of(point.case) | stored | told | interval("speedup", point.speedup) | {"top1": point.top1}


def rows(name: str, results: Results, model: str) -> Iterator[Row]:
    """The numbers that a figure draws, by the figure's name."""
    return ROWS[_figures.FIGURES[name]](results, model)


# By what draws them: names are given to figures once, where those are drawn.
ROWS: dict[_drawing.Draw, Callable[[Results, str], Iterator[Row]]] = {
    _figures.accuracy_and_latency: accuracy_and_latency,
    _figures.speedups: speedups,
    _figures.pruning_path: pruning_path,
    _figures.samples: samples,
    _figures.costs: costs,
    _figures.history: history,
}
