"""What every report of a run says, in sections that a renderer only has to lay out."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from hqp.records import (
    VARIANTS,
    Accuracy,
    Judgement,
    Measurement,
    Results,
    in_readable_unit,
    triple_text,
    words_of,
)
from hqp.reports import _notes, _numbers, _provenance, _summary, _verdicts
from hqp.reports._layout import ABSENT, Column, Section, headers, number, ranks, table
from hqp.stats import noninferiority, summary

# Decimal, as disks and data sheets count.
MEGABYTE = 1e6
MILLION = 1e6


def summaries(results: Results) -> Iterator[Section]:
    """The table of each model that says whether it may ship."""
    for model in models(results):
        yield _summary.summary(results, model)


def details(results: Results) -> Iterator[Section]:
    """All that was measured, in two tables a model, and what making the artefacts cost."""
    for model in models(results):
        measured = [measurement for measurement in results.measurements if measurement.case.model == model]
        yield _artefacts(model, measured)
        yield _speed(model, measured, results.judgements)
        if any(measurement.sidecar.accuracy.shipped for measurement in measured):
            yield _steps(model, measured)
    yield _provenance.cost(results.measurements)


def models(results: Results) -> tuple[str, ...]:
    """The models of a run, in the order in which they were measured."""
    return tuple(dict.fromkeys(measurement.case.model for measurement in results.measurements))


# --- accuracy and size --------------------------------------------------------------------------------------------


def _drop(measurement: Measurement) -> str:
    estimate = _numbers.drop(measurement)
    return ABSENT if estimate is None else number(estimate.value, 2)


def _pruning_drop(measurement: Measurement) -> str:
    accuracy = measurement.sidecar.accuracy
    if accuracy.pruned is None:
        return ABSENT
    return number(100 * (accuracy.fp32.top1 - accuracy.pruned.top1), 2)


def _inner(measurement: Measurement) -> str:
    share = measurement.sidecar.filters.inner_sparsity
    return ABSENT if share is None else number(100 * share, 1)


_CASE: tuple[Column, ...] = (
    Column("method", _notes.method_text),
    Column("device", lambda measurement: measurement.case.device),
)

_ARTEFACT: tuple[Column, ...] = (
    *_CASE,
    Column("top-1 %", lambda measurement: number(100 * measurement.accuracy.top1, 2)),
    Column("drop pp", _drop),
    Column("top-5 %", lambda measurement: number(100 * measurement.accuracy.top5, 2), rank=2),
    Column("pruning pp", _pruning_drop, rank=1),
    Column("MB", lambda measurement: number(measurement.sidecar.file.size_bytes / MEGABYTE, 2)),
    Column("smaller", lambda measurement: number(measurement.sidecar.compression_ratio, 2) + "x"),
    Column("params M", lambda measurement: number(measurement.sidecar.file.parameters / MILLION, 2), rank=3),
    Column("MACs M", lambda measurement: number(measurement.sidecar.file.macs / MILLION, 1)),
    Column("θ %", lambda measurement: number(100 * measurement.sidecar.filters.sparsity, 1)),
    Column("inner θ %", _inner, rank=4),
)


def _artefacts(model: str, measured: list[Measurement]) -> Section:
    first = measured[0].sidecar
    size = f"{first.network.input_size}x{first.network.input_size}"
    notes = dict.fromkeys(note for measurement in measured for note in _notes.made(measurement))
    return Section(
        f"{model} on {first.images.dataset}, {size}: accuracy and size",
        headers(_ARTEFACT),
        table(_ARTEFACT, measured),
        (*_how_judged(measured), *notes),
        ranks=ranks(_ARTEFACT),
        model=model,
    )


def _how_judged(measured: list[Measurement]) -> Iterator[str]:
    """What the columns of the table mean, and on which images they were counted."""
    accuracy, network, images = measured[0].accuracy, measured[0].sidecar.network, measured[0].sidecar.images
    yield f"top-1 and top-5 of the exported file in its runtime, on {accuracy.total:,} images of '{accuracy.split}'"

    normalised = f"mean {triple_text(images.mean)}, deviation {triple_text(images.std)}"
    yield f"images: {images.reading.shown(network.input_size)}; {normalised}"

    pruned = [row.sidecar.accuracy.pruned for row in measured]
    splits = sorted({accuracy.split for accuracy in pruned if accuracy})
    if splits:
        chosen = f"'{', '.join(splits)}', by which the file was chosen"
        yield f"pruning pp: the drop after pruning and before quantising, on {chosen}"

    if any(row.sidecar.filters.inner_sparsity is not None for row in measured):
        yield "θ %: filters removed, of all; inner θ %: of those that no residual sum ties together"


# --- where the accuracy went ---------------------------------------------------------------------------------------


def _steps(model: str, measured: list[Measurement]) -> Section:
    """What pruning with its recovery, and then quantisation, did to each file, on the images that chose it."""
    headers = (
        "method",
        "device",
        "FP32 %",
        "pruned %",
        "file %",
        "pruning pp",
        "quantising pp",
        "recovery",
        "calibration",
    )
    rows = tuple(_step(row) for row in measured if row.sidecar.accuracy.shipped)
    line = "on 'selection'; pruned: after recovery and before quantising; a loss in points is positive"
    return Section(f"{model}: where the accuracy went", headers, rows, (line,), model=model, trailing=2)


def _step(measurement: Measurement) -> tuple[str, ...]:
    accuracy, choices = measurement.sidecar.accuracy, measurement.sidecar.choices
    before = accuracy.pruned or accuracy.fp32
    recovery = VARIANTS[choices.recovered.variant] if choices.recovered else ABSENT
    return (
        _notes.method_text(measurement),
        measurement.case.device,
        _percent(accuracy.fp32),
        _percent(accuracy.pruned),
        _percent(accuracy.shipped),
        _lost(accuracy.fp32, accuracy.pruned),
        _lost(before, accuracy.shipped) if choices.policy else ABSENT,
        recovery,
        choices.calibrated.calibration if choices.calibrated else ABSENT,
    )


def _percent(accuracy: Accuracy | None) -> str:
    return number(100 * accuracy.top1, 2) if accuracy else ABSENT


def _lost(before: Accuracy, after: Accuracy | None) -> str:
    return number(100 * (before.top1 - after.top1), 2) if after else ABSENT


# --- latency and verdicts -----------------------------------------------------------------------------------------


def _latency(measurement: Measurement) -> tuple[str, str, str]:
    samples = measurement.latency.candidate_ms
    if not samples.size:
        return ABSENT, ABSENT, ABSENT
    numbers = summary.summarise(samples)
    return number(numbers.median_ms, 3), number(numbers.p90_ms, 3), number(numbers.p99_ms, 3)


def _speedup(measurement: Measurement) -> str:
    estimate = _numbers.speedup(measurement)
    return f"{estimate.value:.2f}x ({estimate.lower:.2f} to {estimate.upper:.2f})" if estimate else ABSENT


def _metric_columns(measured: list[Measurement]) -> Iterator[Column]:
    """A column for each kind of number that the probes took of whole artefacts."""
    whole = [metric for measurement in measured for metric in measurement.metrics if not metric.of]
    units = {metric.name: metric.unit for metric in whole}
    for name, unit in units.items():
        if all(_is_size_of_file(measurement, name) for measurement in measured):
            # The table above has it already; what a device makes of a file, an engine, has another size.
            continue
        _, told_in = in_readable_unit(0, unit)
        yield Column(f"{words_of(name)} {told_in}", partial(_median, name), rank=1)


def _is_size_of_file(measurement: Measurement, name: str) -> bool:
    metric = measurement.metric(name)
    return metric is None or (metric.unit == "bytes" and metric.median == measurement.sidecar.file.size_bytes)


def _median(name: str, measurement: Measurement) -> str:
    metric = measurement.metric(name)
    return ABSENT if metric is None else in_readable_unit(metric.median, metric.unit)[0]


def _speed(model: str, measured: list[Measurement], judgements: tuple[Judgement, ...]) -> Section:
    gates = tuple(dict.fromkeys(judgement.gate for judgement in judgements if judgement.verdict))
    columns: tuple[Column, ...] = (
        *_CASE,
        Column("median ms", lambda measurement: _latency(measurement)[0]),
        Column("p90 ms", lambda measurement: _latency(measurement)[1], rank=3),
        Column("p99 ms", lambda measurement: _latency(measurement)[2], rank=2),
        Column("speed-up", _speedup),
        *_metric_columns(measured),
    )
    rows = []
    for numbers, measurement in zip(table(columns, measured), measured, strict=True):
        verdicts = [_verdicts.cell(judgements, measurement.case, gate) for gate in gates]
        rows.append((*numbers, *verdicts))
    return Section(
        f"{model}: latency and gates",
        (*headers(columns), *gates),
        tuple(rows),
        tuple(_how_timed(measured, bool(gates))),
        ranks=ranks(columns),
        model=model,
    )


def _how_timed(measured: list[Measurement], gated: bool) -> Iterator[str]:
    """What the columns of the table mean, and which measurements were disturbed."""
    processes = max(measurement.latency.processes for measurement in measured)
    confidence = f"{100 * noninferiority.CONFIDENCE:.0f}% interval over up to {processes} processes"
    yield f"speed-up: times as fast as FP32, {confidence}"
    if gated:
        yield _verdicts.LEGEND
