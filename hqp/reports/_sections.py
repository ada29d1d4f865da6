"""What every report of a run says, in sections that a renderer only has to lay out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

from hqp.records import (
    VARIANTS,
    Cost,
    Judgement,
    Measurement,
    Outcome,
    Results,
    in_readable_unit,
    triple_text,
    words_of,
)
from hqp.reports import _numbers
from hqp.stats import noninferiority, summary

ABSENT = "–"
SYMBOLS: dict[Outcome, str] = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
LEGEND = f"✓ pass   ✗ fail   ? inconclusive   (…) shown, not gated   {ABSENT} not measured or not judged"

# Decimal, as disks and data sheets count.
MEGABYTE = 1e6
MILLION = 1e6


@dataclass(frozen=True)
class Column:
    """A column of a table of measurements; of those with a ``rank``, the highest goes first where room is short."""

    header: str
    cell: Callable[[Measurement], str]
    rank: int = 0


@dataclass(frozen=True)
class Section:
    """A titled table with lines below it; either may be empty.

    The first ``texts`` columns hold words and say what a row is of. ``ranks`` tells which headers may be left out where
    the table is too wide, the highest first; those that it does not name always stay. ``model`` is the one that the
    section is of, '' where it is of the whole run.
    """

    title: str
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    texts: int = 2
    ranks: Mapping[str, int] = field(default_factory=dict)
    model: str = ""


def number(value: float, places: int) -> str:
    """A number with its thousands separated."""
    return f"{value:,.{places}f}"


def sections(results: Results) -> Iterator[Section]:
    """The sections of a report, in the order in which they are read."""
    for model in dict.fromkeys(measurement.case.model for measurement in results.measurements):
        measured = [measurement for measurement in results.measurements if measurement.case.model == model]
        yield _artefacts(model, measured)
        yield _speed(model, measured, results.judgements)
    yield _verdicts(results.judgements)
    yield _cost(results.measurements)
    yield _origin(results)


def _table(columns: Iterable[Column], measured: list[Measurement]) -> tuple[tuple[str, ...], ...]:
    columns = tuple(columns)
    return tuple(tuple(column.cell(measurement) for column in columns) for measurement in measured)


def _headers(columns: Iterable[Column]) -> tuple[str, ...]:
    return tuple(column.header for column in columns)


def _ranks(columns: Iterable[Column]) -> dict[str, int]:
    return {column.header: column.rank for column in columns if column.rank}


# --- accuracy and size --------------------------------------------------------------------------------------------


def _drop(measurement: Measurement) -> str:
    reference = measurement.fp32_accuracy
    return ABSENT if reference is None else number(100 * (reference.top1 - measurement.accuracy.top1), 2)


def _pruning_drop(measurement: Measurement) -> str:
    sidecar = measurement.sidecar
    return ABSENT if sidecar.pruned is None else number(100 * (sidecar.baseline.top1 - sidecar.pruned.top1), 2)


def _inner(measurement: Measurement) -> str:
    share = measurement.sidecar.inner_sparsity
    return ABSENT if share is None else number(100 * share, 1)


_CASE: tuple[Column, ...] = (
    Column("method", lambda measurement: measurement.case.method),
    Column("device", lambda measurement: measurement.case.device),
)

_ARTEFACT: tuple[Column, ...] = (
    *_CASE,
    Column("top-1 %", lambda measurement: number(100 * measurement.accuracy.top1, 2)),
    Column("drop pp", _drop),
    Column("top-5 %", lambda measurement: number(100 * measurement.accuracy.top5, 2), rank=2),
    Column("pruning pp", _pruning_drop, rank=1),
    Column("MB", lambda measurement: number(measurement.sidecar.model_bytes / MEGABYTE, 2)),
    Column("smaller", lambda measurement: number(measurement.sidecar.compression_ratio, 2) + "x"),
    Column("params M", lambda measurement: number(measurement.sidecar.parameters / MILLION, 2), rank=3),
    Column("MACs M", lambda measurement: number(measurement.sidecar.macs / MILLION, 1)),
    Column("θ %", lambda measurement: number(100 * measurement.sidecar.sparsity, 1)),
    Column("inner θ %", _inner, rank=4),
)


def _artefacts(model: str, measured: list[Measurement]) -> Section:
    sidecar, accuracy = measured[0].sidecar, measured[0].accuracy
    size = f"{sidecar.input_size}x{sidecar.input_size}"
    title = f"{model} on {sidecar.dataset}, {size}: accuracy and size"
    lines = [f"top-1 and top-5 of the exported file in its runtime, on {accuracy.total:,} images of '{accuracy.split}'"]
    normalised = f"mean {triple_text(sidecar.mean)}, deviation {triple_text(sidecar.std)}"
    lines.append(f"images: {sidecar.reading.shown(sidecar.input_size)}; {normalised}")
    splits = sorted({row.sidecar.pruned.split for row in measured if row.sidecar.pruned})
    if splits:
        chosen = f"'{', '.join(splits)}', by which the file was chosen"
        lines.append(f"pruning pp: the drop after pruning and before quantising, on {chosen}")
    if any(row.sidecar.inner_sparsity is not None for row in measured):
        lines.append("θ %: filters removed, of all; inner θ %: of those that no residual sum ties together")
    notes = dict.fromkeys(note for measurement in measured for note in _made(measurement))
    return Section(
        title, _headers(_ARTEFACT), _table(_ARTEFACT, measured), (*lines, *notes), ranks=_ranks(_ARTEFACT), model=model
    )


def _made(measurement: Measurement) -> Iterator[str]:
    sidecar = measurement.sidecar
    if sidecar.ranking:
        yield f"{sidecar.method} ranks by {sidecar.ranking}{_steps(sidecar.shipped_steps - sidecar.accepted_steps)}"
    if sidecar.policy and sidecar.policy.weight_bits == 7:
        yield (
            f"{measurement.case.device}: weights take 7 bits, since here kernels would saturate products of 8"
            f" (no {sidecar.policy.saturates_without.upper()})"
        )
    if sidecar.recovered:
        yield f"{sidecar.method} on {measurement.case.device}: recovered by {VARIANTS[sidecar.recovered.variant]}"
    if sidecar.certificate:
        yield f"{sidecar.method} on {measurement.case.device}: {sidecar.certificate}"
    yield from (f"{sidecar.method} on {measurement.case.device}: {note}" for note in sidecar.notes)
    skipped = sidecar.skipped_images + measurement.skipped_images
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
        _, told_in = in_readable_unit(0, unit)
        yield Column(f"{words_of(name)} {told_in}", partial(_median, name), rank=1)


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
    rows = tuple(
        (*row, *(_cell(measurement, gate, judgements) for gate in gates))
        for row, measurement in zip(_table(columns, measured), measured, strict=True)
    )
    blocks = max(len(measurement.latency.blocks) for measurement in measured)
    lines = [f"speed-up: times as fast as FP32, {100 * noninferiority.CONFIDENCE:.0f}% interval over {blocks} blocks"]
    lines += [LEGEND] if gates else []
    lines += [f"{row.case}: {len(row.latency.disturbed)} disturbed blocks dropped, {row.latency.disturbed[0]}"
              for row in measured if row.latency.disturbed]  # fmt: skip
    title = f"{model}: latency and gates"
    return Section(title, (*_headers(columns), *gates), rows, tuple(lines), ranks=_ranks(columns), model=model)


def _cell(measurement: Measurement, gate: str, judgements: tuple[Judgement, ...]) -> str:
    """The worst verdict of a gate that binds the case, or else of one that is shown only."""
    bound = _numbers.outcome(judgements, measurement.case, gate)
    if bound:
        return SYMBOLS[bound]
    shown = _numbers.outcome(judgements, measurement.case, gate, bound=False)
    return f"({SYMBOLS[shown]})" if shown else ABSENT


# --- what follows from it -----------------------------------------------------------------------------------------


def _verdicts(judgements: tuple[Judgement, ...]) -> Section:
    binding = [judgement for judgement in judgements if judgement.bound]
    counts = Counter(judgement.verdict.outcome for judgement in binding if judgement.verdict)
    skipped = Counter(_common(judgement) for judgement in binding if judgement.verdict is None)
    counted = [f"{counts['pass']} passed", f"{counts['fail']} failed", f"{counts['inconclusive']} inconclusive"]
    title = ", ".join([*counted, f"{skipped.total()} skipped"]) if binding else "none binds these cases"
    lines = []
    for outcome in ("fail", "inconclusive"):
        for judgement in binding:
            if judgement.verdict and judgement.verdict.outcome == outcome:
                verdict = judgement.verdict
                lines.append(f"{SYMBOLS[outcome]} {judgement.case}  {verdict.gate}: {verdict.reason}")
    lines += [f"{ABSENT} {count} skipped: {why}" for why, count in skipped.items()]
    return Section(f"gates: {title}", lines=tuple(lines))


def _common(judgement: Judgement) -> str:
    """The reason of a skip without the case, so that equal reasons are told once."""
    return (judgement.skipped or "nothing to judge").replace(str(judgement.case), "the case")


def _cost(measurements: tuple[Measurement, ...]) -> Section:
    made: dict[tuple[str, str, tuple[Cost, ...], Cost | None], list[Measurement]] = {}
    for measurement in measurements:
        case, sidecar = measurement.case, measurement.sidecar
        made.setdefault((case.model, case.method, sidecar.costs, sidecar.qat_cost), []).append(measurement)
    rows = tuple((model, method, *_spent(found)) for (model, method, *_), found in made.items())
    headers = ("model", "method", "devices", "steps, s", "images", "passes", "seconds", "of QAT")
    training = {(model, qat) for model, _, _, qat in made if qat}
    lines = [f"QAT: quantisation-aware training of {model}, {number(cost.images, 0)} images in {cost.passes} epochs,"
             f" would take {number(cost.seconds, 0)} s, estimated from FP32 training steps"
             for model, cost in sorted(training, key=lambda pair: pair[0])]  # fmt: skip
    told = ("images: seen over all passes", *lines)
    return Section(
        "cost of making the artefacts", headers, rows, told, texts=4, ranks={"passes": 3, "images": 2, "steps, s": 1}
    )


def _spent(measurements: list[Measurement]) -> tuple[str, ...]:
    """What one artefact cost that was measured on these devices."""
    sidecar = measurements[0].sidecar
    return (
        ", ".join(dict.fromkeys(measurement.case.device for measurement in measurements)),
        ", ".join(f"{cost.step} {number(cost.seconds, 1)}" for cost in sidecar.costs) or ABSENT,
        number(sum(cost.images for cost in sidecar.costs), 0),
        number(sum(cost.passes for cost in sidecar.costs), 0),
        number(sidecar.seconds, 1),
        ABSENT if sidecar.share_of_qat is None else f"{100 * sidecar.share_of_qat:.1f}%",
    )


def _origin(results: Results) -> Section:
    versions: dict[str, list[str]] = {}
    for measurement in results.measurements:
        for package, version in measurement.sidecar.versions.items():
            if version not in versions.setdefault(package, []):
                versions[package].append(version)
    environments = {row.case.device: row.environment.digest for row in results.measurements}
    told = {
        **results.machine,
        "made with": ", ".join(f"{package} {' and '.join(found)}" for package, found in sorted(versions.items())),
        "environments": ", ".join(f"{device} {digest}" for device, digest in environments.items()),
        "HQP": results.hqp_version,
        "date": results.date,
        "command": results.command,
    }
    return Section("where this comes from", rows=tuple((key, text) for key, text in told.items() if text))
