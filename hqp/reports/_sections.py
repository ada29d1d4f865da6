"""What every report of a run says, in sections that a renderer only has to lay out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

from hqp.records import (
    VARIANTS,
    Floats,
    Judgement,
    Measurement,
    Metric,
    Outcome,
    Results,
    in_readable_unit,
    triple_text,
    words_of,
)
from hqp.reports import _numbers, _provenance
from hqp.reports import _standing_in as standing_in
from hqp.reports._layout import ABSENT, Column, Section, headers, number, ranks, table
from hqp.stats import independent, noninferiority, summary

SYMBOLS: dict[Outcome, str] = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
LEGEND = f"✓ pass   ✗ fail   ? inconclusive   (…) shown, not gated   {ABSENT} not measured or not judged"

# Decimal, as disks and data sheets count.
MEGABYTE = 1e6
MILLION = 1e6


def sections(results: Results) -> Iterator[Section]:
    """The sections of a report, in the order in which they are read."""
    for model in dict.fromkeys(measurement.case.model for measurement in results.measurements):
        measured = [measurement for measurement in results.measurements if measurement.case.model == model]
        yield _artefacts(model, measured)
        yield _speed(model, measured, results.judgements)
    yield _verdicts(results.judgements)
    yield _provenance.cost(results.measurements)
    yield _provenance.origin(results)


# --- accuracy and size --------------------------------------------------------------------------------------------


def _drop(measurement: Measurement) -> str:
    reference = measurement.fp32_accuracy
    return ABSENT if reference is None else number(100 * (reference.top1 - measurement.accuracy.top1), 2)


def _pruning_drop(measurement: Measurement) -> str:
    accuracy = measurement.sidecar.accuracy
    if accuracy.pruned is None:
        return ABSENT
    return number(100 * (accuracy.fp32.top1 - accuracy.pruned.top1), 2)


def _inner(measurement: Measurement) -> str:
    share = measurement.sidecar.filters.inner_sparsity
    return ABSENT if share is None else number(100 * share, 1)


def method_text(measurement: Measurement) -> str:
    """The method, with the precision that it has in the place of its own where the device lacks that."""
    replaced = measurement.sidecar.settings.recipe.replaced
    return f"{measurement.case.method} ({replaced})" if replaced else measurement.case.method


_CASE: tuple[Column, ...] = (
    Column("method", method_text),
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
    notes = dict.fromkeys(note for measurement in measured for note in _made(measurement))
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


def _made(measurement: Measurement) -> Iterator[str]:
    """What the reader should know of how an artefact was made."""
    sidecar, choices = measurement.sidecar, measurement.sidecar.choices
    method, device = sidecar.settings.method, measurement.case.device
    if choices.ranking:
        steps = _steps(choices.shipped_steps - choices.accepted_steps)
        yield f"{method} ranks by {choices.ranking}{steps}"
    if choices.policy and choices.policy.weight_bits == 7:
        feature = choices.policy.saturates_without.upper()
        yield f"{device}: weights take 7 bits, since here kernels would saturate products of 8 (no {feature})"
    if choices.recovered:
        yield f"{method} on {device}: recovered by {VARIANTS[choices.recovered.variant]}"
    if sidecar.certificate:
        yield f"{method} on {device}: {sidecar.certificate}"
    for note in sidecar.notes:
        yield f"{method} on {device}: {note}"
    yield from standing_in.drops(measurement)
    skipped = sidecar.images.skipped + measurement.skipped_images
    if skipped:
        yield f"left out, since they could not be read: {', '.join(skipped)}"


def _steps(beyond: int) -> str:
    """How far the file is from what ``selection`` accepts."""
    if not beyond:
        return ""
    count = "1 pruning step" if abs(beyond) == 1 else f"{abs(beyond)} pruning steps"
    return f"; {count} beyond what 'selection' accepts" if beyond > 0 else f"; {count} given back"


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
        verdicts = [_cell(measurement, gate, judgements) for gate in gates]
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
        yield LEGEND
    for row in measured:
        disturbed = row.latency.disturbed
        if disturbed:
            yield f"{row.case}: {len(disturbed)} disturbed blocks dropped, {disturbed[0]}"
    yield from _slower_than_half(measured, "fp16")
    yield from _slower_than_half(measured, "bf16")


def _slower_than_half(measured: list[Measurement], precision: Floats) -> Iterator[str]:
    """A sentence for each INT8 file that is slower than FP16 or BF16 of the same model on the same device."""
    halves = {row.case.device: _numbers.speedup(row) for row in measured if _is_dense(row, precision)}
    for row in measured:
        half, mine = halves.get(row.case.device), _numbers.speedup(row)
        if half is None or mine is None or row.sidecar.choices.policy is None:
            continue
        beside = independent.quotient(mine, half)
        if beside.upper < 1:
            yield (
                f"{row.case} is slower than {precision.upper()}: {beside.value:.2f} times as fast"
                f" ({beside.lower:.2f} to {beside.upper:.2f})"
            )


def _is_dense(measurement: Measurement, precision: Floats) -> bool:
    recipe = measurement.sidecar.settings.recipe
    return recipe.precision == precision and recipe.pruning is None


def _cell(measurement: Measurement, gate: str, judgements: tuple[Judgement, ...]) -> str:
    """The worst verdict of a gate that binds the case, or else of one that is shown only."""
    bound = _numbers.outcome(judgements, measurement.case, gate)
    if bound:
        return SYMBOLS[bound]
    shown = _numbers.outcome(judgements, measurement.case, gate, bound=False)
    return f"({SYMBOLS[shown]})" if shown else ABSENT


def layers(measurement: Measurement) -> Section:
    """The layers of an artefact, before and after compression."""
    headers = ("layer", "channels", "kept", "S", "S kept", "R", "R kept", "precision")
    rows = tuple(
        (
            layer.layer,
            str(layer.channels),
            str(layer.kept_channels),
            _scientific(layer.sensitivity),
            _scientific(layer.kept_sensitivity),
            number(layer.weight_range, 3),
            number(layer.kept_weight_range, 3),
            layer.precision,
        )
        for layer in measurement.layers
    )
    title = f"layers of {measurement.case.method} on {measurement.case.device}"
    lines = ("S: the mean sensitivity of its filters; R: the range of its weights",)
    return Section(title, headers, rows, lines, texts=1, model=measurement.case.model)


def parts(measurement: Measurement) -> Iterator[Section]:
    """What the probes measured of the parts of an artefact, the largest first: the time of each operator, say."""
    of_parts = [metric for metric in measurement.metrics if metric.of]
    for name in dict.fromkeys(metric.name for metric in of_parts):
        largest_first = sorted(
            (metric for metric in of_parts if metric.name == name), key=lambda metric: -metric.median
        )
        total = sum(metric.median for metric in largest_first)
        rows = tuple((metric.of, *_of_total(metric, total)) for metric in largest_first)
        _, told_in = in_readable_unit(0, largest_first[0].unit)
        title = f"{words_of(name)} of {measurement.case.method} on {measurement.case.device}"
        yield Section(title, ("part", told_in, "%"), rows, texts=1, model=measurement.case.model)


def _of_total(metric: Metric, total: float) -> tuple[str, str]:
    """The median of a part as it is read, and its share of all parts."""
    share = number(100 * metric.median / total, 1) if total else ABSENT
    return in_readable_unit(metric.median, metric.unit)[0], share


def _scientific(value: float | None) -> str:
    return ABSENT if value is None else f"{value:.2e}"


# --- what follows from it -----------------------------------------------------------------------------------------


def _verdicts(judgements: tuple[Judgement, ...]) -> Section:
    binding = [judgement for judgement in judgements if judgement.bound]
    counts = Counter(judgement.verdict.outcome for judgement in binding if judgement.verdict)
    skipped = Counter(_common(judgement) for judgement in binding if judgement.verdict is None)
    title = (
        f"{counts['pass']} passed, {counts['fail']} failed, {counts['inconclusive']} inconclusive,"
        f" {skipped.total()} skipped"
    )
    lines = [*_told(binding, "fail"), *_told(binding, "inconclusive")]
    lines += [f"{ABSENT} {count} skipped: {why}" for why, count in skipped.items()]
    return Section(f"gates: {title if binding else 'none binds these cases'}", lines=tuple(lines))


def _told(judgements: list[Judgement], outcome: Outcome) -> Iterator[str]:
    """A line for each verdict of one outcome, with its reason."""
    for judgement in judgements:
        verdict = judgement.verdict
        if verdict and verdict.outcome == outcome:
            yield f"{SYMBOLS[outcome]} {judgement.case}  {verdict.gate}: {verdict.reason}"


def _common(judgement: Judgement) -> str:
    """The reason of a skip without the case, so that equal reasons are told once."""
    return (judgement.skipped or "nothing to judge").replace(str(judgement.case), "the case")
