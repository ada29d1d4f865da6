"""What a reader should know of how an artefact was made and measured, in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from hqp.records import VARIANTS, Compared, Floats, Measurement
from hqp.reports import _numbers
from hqp.reports import _standing_in as standing_in
from hqp.stats import independent


def method_text(measurement: Measurement) -> str:
    """The method, with the precision that it has in the place of its own where the device lacks that."""
    replaced = measurement.sidecar.settings.recipe.replaced
    return f"{measurement.case.method} ({replaced})" if replaced else measurement.case.method


def made(measurement: Measurement) -> Iterator[str]:
    """How an artefact was made, and what was promised of it."""
    sidecar, choices = measurement.sidecar, measurement.sidecar.choices
    if choices.ranking:
        steps = _steps(choices.shipped_steps - choices.accepted_steps)
        yield f"{sidecar.settings.method} ranks by {choices.ranking}{steps}{_best_of(choices.compared)}"
    if choices.recovered:
        yield f"{_on(measurement)}: recovered by {VARIANTS[choices.recovered.variant]}"
    if sidecar.budget:
        yield f"{_on(measurement)}: {sidecar.budget}"
    if choices.dense:
        yield f"{_on(measurement)}: {choices.dense}"
    if sidecar.certificate:
        yield f"{_on(measurement)}: {sidecar.certificate}"


def certified(measured: list[Measurement]) -> Iterator[str]:
    """Which artefacts are certified, in one line, and a line for each that is not."""
    promised: dict[str, list[str]] = {}
    for row in measured:
        certificate = row.sidecar.certificate
        if certificate is None:
            continue
        if certificate.certified:
            promise = f"within {certificate.delta_max_pp:.2f} pp with probability {1 - certificate.alpha:.4g}"
            promised.setdefault(promise, []).append(_on(row))
        else:
            yield f"{_on(row)}: {certificate}"
    for promise, cases in promised.items():
        yield f"certified, each {promise}: {', '.join(cases)}"


def warnings(measurement: Measurement) -> Iterator[str]:
    """What is not as it should be, or was replaced by a declared policy."""
    sidecar, policy = measurement.sidecar, measurement.sidecar.choices.policy
    if policy and policy.weight_bits == 7:
        feature = policy.saturates_without.upper()
        device = measurement.case.device
        yield f"{device}: weights take 7 bits, since here kernels would saturate products of 8 (no {feature})"
    for note in sidecar.notes:
        yield f"{_on(measurement)}: {note}"
    yield from standing_in.drops(measurement)
    skipped = sidecar.images.skipped + measurement.skipped_images
    if skipped:
        yield f"left out, since they could not be read: {', '.join(skipped)}"
    disturbed = measurement.latency.disturbed
    if disturbed:
        blocks = "1 disturbed block" if len(disturbed) == 1 else f"{len(disturbed)} disturbed blocks"
        yield f"{measurement.case}: {blocks} dropped, {disturbed[0]}"


def slower_than_half(measured: list[Measurement], precision: Floats) -> Iterator[str]:
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


def _on(measurement: Measurement) -> str:
    return f"{measurement.sidecar.settings.method} on {measurement.case.device}"


def _best_of(compared: tuple[Compared, ...]) -> str:
    """By what the ranking was told best, and what each has of it."""
    if not compared:
        return ""
    values = ", ".join(str(one) for one in compared)
    return f"; the best of {len(compared)} by {compared[0].by}: {values}"


def _steps(beyond: int) -> str:
    """How far the file is from what ``selection`` accepts."""
    if not beyond:
        return ""
    count = "1 pruning step" if abs(beyond) == 1 else f"{abs(beyond)} pruning steps"
    return f"; {count} beyond what 'selection' accepts" if beyond > 0 else f"; {count} given back"


def _is_dense(measurement: Measurement, precision: Floats) -> bool:
    recipe = measurement.sidecar.settings.recipe
    return recipe.precision == precision and recipe.pruning is None
