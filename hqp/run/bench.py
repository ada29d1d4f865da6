"""``hqp bench``: finished artefacts, measured on a device, and judged where a suite says by what."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hqp import catalog, documents, transport
from hqp.errors import HqpError, command
from hqp.records import Artifact, Case, Device, Measurement, Results
from hqp.run import judge, suite_file
from hqp.run.context import Context
from hqp.run.inputs import artifacts, claims
from hqp.run.judge import ResolvedSuite
from hqp.run.measuring import Protocol, measure_files
from hqp.run.plugins import HOST_VARIABLE
from hqp.run.reruns import Stored
from hqp.run.results import results
from hqp.run.suite import SuiteRun
from hqp.store import Store

BASELINES = Path("baselines")
# What the last run measured, below the store; a suite's results are in a folder of their own.
KEPT = "bench.json"


@dataclass(frozen=True)
class Benched:
    """What was measured and judged, and why other cases were not, a line each."""

    results: Results
    failed: tuple[str, ...]


def bench_artifacts(
    paths: Sequence[Path], device: str | None, *, dataset: str | None = None, suite: Path | None = None
) -> Benched:
    """The measurements of finished artefacts on a device, beside FP32 where one of them is the same model's FP32.

    A path may be a folder with one folder of artefacts for each device. Without a ``device`` it is the board at hand.
    The gates of ``suite`` judge the cases; one that cannot be measured leaves the others as they are.
    """
    context = Context(Store(Path(".hqp")))
    name = device or recognised()
    declared = context.plugins.device(name)
    context.plugins.runtime(declared)
    given = tuple(artifacts.read(folder) for path in paths for folder in artifacts.below(path, name))
    for made in given:
        _require_precision(made, name, declared)
        _require_dataset(context, made, dataset)
    _refuse_twice(given)

    # Everything is checked before the first minute is spent on measuring.
    for made in given:
        fp32 = _fp32_of(made, given)
        claims.require_true(made, fp32.sidecar if fp32 else None)
        claims.require_same_images(context, made)
    context.environment(name)
    if suite is not None:
        return _judged(context, suite, name, given)
    return _measured_all(context, name, given)


def recognised() -> str:
    """The device that the host at hand is.

    Raises:
        HqpError: no device recognises it.
    """
    host = transport.host(os.environ.get(HOST_VARIABLE, ""))
    for name in catalog.names("devices"):
        recognises = getattr(catalog.find("devices", name), "recognises", None)
        if recognises is not None and recognises(host):
            return name
    wrong = f"no device was named, and {host.name} is no board that one recognises"
    raise HqpError(wrong, "--device NAME, or --host USER@BOARD", "hqp list devices")


@dataclass(eq=False)
class _ArtefactRun(SuiteRun):
    """A suite on one device whose artefacts are given, so that nothing is compressed and no torch is needed."""

    device: str = ""
    given: Mapping[Case, Artifact] = field(default_factory=dict)

    def _resolved(self) -> ResolvedSuite:
        return ResolvedSuite(judge.resolve_gates(self.suite), {})

    @property
    def cases(self) -> tuple[Case, ...]:
        return tuple(case for case in self.suite.cases() if case.device == self.device)

    def _made(self, case: Case) -> Artifact:
        if case not in self.given:
            raise HqpError(f"there is no artefact of {case}", "one of each case of the suite", "nox -s compress")
        return self.given[case]


def _judged(context: Context, suite: Path, device: str, given: Sequence[Artifact]) -> Benched:
    question, declared = suite_file.read(suite)
    if device not in declared.devices:
        raise HqpError(f"{suite} is not for {device}", f"one of its devices: {', '.join(declared.devices)}")
    if declared.exact_precision:
        _refuse_replaced(given)
    # One name for each device: boards are measured side by side.
    stored = Stored(suite.stem, BASELINES, str(BASELINES / "files"))
    record = command("hqp", "baseline", "update", "RESULTS")
    by_case = {_case_of(made, device): made for made in given}
    run = _ArtefactRun(question, declared, context, stored, record, device=device, given=by_case)
    failed = []
    for case in run.cases:
        try:
            for bound in run.binding(case):
                run.judge(case, bound)
            run.show(case)
            _keep(context, run.results())
        except (HqpError, OSError) as error:
            failed.append(f"{case}: {error}")
    return Benched(run.results(), tuple(failed))


def _refuse_replaced(given: Sequence[Artifact]) -> None:
    """Refuses artefacts in another precision than their method's, for a suite that wants that one."""
    for made in given:
        replaced = made.sidecar.settings.recipe.replaced
        if replaced:
            raise HqpError(f"{made.path} is {replaced}", "a device that has it, or exact_precision=False")


def _measured_all(context: Context, device: str, given: Sequence[Artifact]) -> Benched:
    measurements, failed = [], []
    for number, made in enumerate(given, 1):
        case = _case_of(made, device)
        try:
            with context.progress.case(str(case), number, len(given)):
                measurements.append(_measured(context, case, made, _fp32_of(made, given)))
            _keep(context, _results(measurements))
        except HqpError as error:
            # What is measured of the others in the meantime is kept.
            if len(given) == 1:
                raise
            failed.append(f"{case}: {error}")
    return Benched(_results(measurements), tuple(failed))


def _case_of(made: Artifact, device: str) -> Case:
    return Case(made.sidecar.network.name, made.sidecar.settings.method, device)


def _results(measured: Sequence[Measurement]) -> Results:
    return results("bench", "what these artefacts do on this device", tuple(measured), ())


def _keep(context: Context, so_far: Results) -> None:
    """Writes what was measured so far: whatever ends the run, that is not lost."""
    file = context.store.root / KEPT
    try:
        documents.write(file, so_far)
    except OSError as error:
        # It is still printed in the end.
        context.tell(KEPT, f"{error.filename or file} was not written: {error.strerror}", loud=True)


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
    return measure_files(context, case, made, model, reference, Protocol())
