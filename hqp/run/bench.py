"""``hqp bench``: finished artefacts, measured on a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hqp.errors import HqpError, command
from hqp.records import Artifact, Case, Device, Measurement, Results
from hqp.run import judge
from hqp.run.context import Context
from hqp.run.inputs import artifacts, claims
from hqp.run.measuring import Protocol, measure_files
from hqp.run.results import results
from hqp.store import Store


def bench_artifacts(paths: Sequence[Path], device: str, *, dataset: str | None = None) -> Results:
    """The measurements of finished artefacts on a device, beside FP32 where one of them is the same model's FP32."""
    given = tuple(artifacts.read(path) for path in paths)
    context = Context(Store(Path(".hqp")))
    declared = context.plugins.device(device)
    context.plugins.runtime(declared)
    for made in given:
        _require_precision(made, device, declared)
        _require_dataset(context, made, dataset)
    _refuse_twice(given)

    # Everything is checked before the first minute is spent on measuring.
    for made in given:
        fp32 = _fp32_of(made, given)
        claims.require_true(made, fp32.sidecar if fp32 else None)
        claims.require_same_images(context, made)

    measurements = []
    for number, made in enumerate(given, 1):
        case = Case(made.sidecar.network.name, made.sidecar.settings.method, device)
        with context.progress.case(str(case), number, len(given)):
            measurements.append(_measured(context, case, made, _fp32_of(made, given)))
    return results("bench", "what these artefacts do on this device", tuple(measurements), ())


def _require_dataset(context: Context, made: Artifact, named: str | None) -> None:
    """Sees that an artefact's dataset is the one that the user ``named``, if any, and that it is here."""
    dataset = made.sidecar.images.dataset
    if named is not None and dataset != named:
        wrong = f"{made.path} was made for {dataset}, not {named}"
        raise HqpError(wrong, fix=command("--dataset", dataset))
    context.plugins.load("datasets", dataset)


def _require_precision(made: Artifact, name: str, device: Device) -> None:
    """Sees that the device has the precision that an artefact is in."""
    precision = made.sidecar.settings.recipe.asks_for
    if precision not in device.precisions:
        wrong = f"{made.path} is {precision.upper()}, which device '{name}' lacks"
        made_for_it = command("hqp", "compress", made.sidecar.network.source, "--device", name, "--out", "DIR")
        raise HqpError(wrong, "an artefact that was made for it", made_for_it)


def _fp32_of(made: Artifact, given: Sequence[Artifact]) -> Artifact | None:
    """The last of the given artefacts that is FP32 of the same weights."""
    checkpoint = made.sidecar.network.checkpoint_sha256
    for other in reversed(given):
        is_reference = other.sidecar.settings.method == judge.REFERENCE_METHOD
        if is_reference and other.sidecar.network.checkpoint_sha256 == checkpoint:
            return other
    return None


def _refuse_twice(given: Sequence[Artifact]) -> None:
    for number, made in enumerate(given):
        same = [earlier.path for earlier in given[:number] if earlier.sidecar == made.sidecar]
        if same:
            raise HqpError(f"{same[0]} and {made.path} are one artefact", "each artefact once")


def _measured(context: Context, case: Case, made: Artifact, fp32: Artifact | None) -> Measurement:
    reference = (fp32.sidecar, Path(fp32.path) / artifacts.MODEL) if fp32 else None
    model = context.store.keep(Path(made.path) / artifacts.MODEL, made.sidecar.file.sha256)
    return measure_files(context, case, made.sidecar, model, reference, Protocol())
