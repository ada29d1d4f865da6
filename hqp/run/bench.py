"""Measuring cases: ``hqp bench`` for artefacts, and what the pytest plug-in runs for a suite."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

import hqp
from hqp import baselines, catalog
from hqp.errors import HqpError, command
from hqp.measure import environment, guards, sampler
from hqp.records import (
    SCHEMA_VERSION,
    Accuracy,
    Baseline,
    Case,
    Judgement,
    Measurement,
    PairedLatency,
    Results,
    Sidecar,
)
from hqp.run import artifacts, compress, judge, probe
from hqp.run.context import Context, device_of
from hqp.store import Store
from hqp.suite import Suite

REFERENCE_METHOD = "fp32"


@dataclass
class Bench:
    """One run of a suite: each case is measured once, when the first gate asks for it."""

    name: str
    question: str
    suite: Suite
    context: Context
    baselines: Path
    bounds: tuple[judge.Bound, ...] = field(init=False)
    _measured: dict[Case, Measurement] = field(default_factory=dict)
    _judged: list[Judgement] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.bounds = judge.resolve(self.suite)

    @property
    def cases(self) -> tuple[Case, ...]:
        return tuple(self.suite.cases())

    def judge(self, case: Case, bound: judge.Bound) -> Judgement:
        """The judgement of a gate that binds the case."""
        # A baseline that cannot be compared is refused before minutes are spent on measuring.
        stored = self.baseline(case.device) if "baseline" in bound.plugin.needs else None
        measurement = self.measure(case)
        if "baseline" in bound.plugin.needs and (stored is None or stored.entry(case) is None):
            judgement = Judgement(bound.gate.name, case, True, None, self._no_baseline(case.device))
        else:
            judgement = bound.judge(measurement)
        self._judged.append(judgement)
        return judgement

    def _no_baseline(self, device: str) -> str:
        return f"no baseline for {device} in this environment; to record one: {self._record_baseline}"

    @property
    def _record_baseline(self) -> str:
        results = shown(results_path(self.context.store.root, self.name))
        return command(*baselines.UPDATE.split(), results)

    def measure(self, case: Case) -> Measurement:
        """The measurement of a case, made on the first call."""
        if case not in self._measured:
            number = len(self._measured) + 1
            with self.context.progress.case(str(case), number, len(self.cases)):
                self._measured[case] = self._measure(case)
        return self._measured[case]

    def _measure(self, case: Case) -> Measurement:
        made = compress.artifact(self.context, judge.request(self.suite, case))
        reference = compress.artifact(self.context, judge.request(self.suite, replace(case, method=REFERENCE_METHOD)))
        file, dense = Path(made.path) / artifacts.MODEL, Path(reference.path) / artifacts.MODEL
        suite = self.suite
        protocol = Protocol(suite.warmups, suite.rounds, suite.iterations, suite.seed, suite.test_images)
        measured = measure_files(self.context, case, made.sidecar, file, (reference.sidecar, dense), protocol)
        return replace(measured, baseline=self._rerun(case, made.sidecar, file, protocol))

    def baseline(self, device: str) -> Baseline | None:
        """The stored baseline of this suite on a device in this environment."""
        return baselines.find(self.baselines, device, self.context.environment(device), self.name)

    def _rerun(self, case: Case, sidecar: Sidecar, file: Path, protocol: Protocol) -> PairedLatency | None:
        """The case beside the artefact of its baseline, rerun here and now: stored numbers are never compared."""
        stored = self.baseline(case.device)
        entry = stored.entry(case) if stored else None
        if entry is None or not any("baseline" in bound.plugin.needs for bound in self.bounds):
            return None
        old = self.context.store.kept(entry.model_sha256)
        if old is None:
            raise HqpError(
                f"the artefact of the baseline of {case} ({entry.model_sha256[:12]}) is not in this store",
                "the store that held it, or a new baseline",
                self._record_baseline,
            )
        return time_pair(self.context, case.device, (entry.model_sha256, old), file, protocol, "baseline")

    def unmeasured(self) -> tuple[str, ...]:
        """The ids of baseline cases that this run did not measure."""
        ran = set(self._measured)
        stored = (self.baseline(device) for device in self.suite.devices)
        return tuple(str(entry.case) for found in stored if found for entry in found.entries if entry.case not in ran)

    def results(self) -> Results:
        """All that was measured and judged so far, with what the gates would have said of cases they do not bind."""
        shown = [
            bound.judge(measurement)
            for case, measurement in self._measured.items()
            for bound in self.bounds
            if not bound.gate.binds(case) and bound.shows(case)
        ]
        return _results(self.name, self.question, tuple(self._measured.values()), (*self._judged, *_once(shown)))


def _once(shown: list[Judgement]) -> list[Judgement]:
    """One judgement per case and gate: two gates of a name may both leave a case unbound."""
    kept: dict[tuple[Case, str], Judgement] = {}
    for judgement in shown:
        if judgement.verdict is not None:
            kept.setdefault((judgement.case, judgement.gate), judgement)
    return list(kept.values())


@dataclass(frozen=True)
class Protocol:
    """How a case is measured: uncounted warm-ups, rounds of fresh sessions, iterations in each; images judged."""

    warmups: int = 10
    rounds: int = 20
    iterations: int = 5
    seed: int = 0
    test_images: int | None = None


def measure_files(
    context: Context,
    case: Case,
    sidecar: Sidecar,
    file: Path,
    reference: tuple[Sidecar, Path] | None,
    protocol: Protocol,
) -> Measurement:
    """Latency, accuracy on ``test`` and peak memory of a file beside FP32; without FP32, of the file alone."""
    against = (reference[0].model_sha256, reference[1]) if reference else (sidecar.model_sha256, file)
    size, reading = sidecar.input_size, sidecar.reading
    test = context.samples(sidecar.dataset, "test", size, reading=reading, first=protocol.test_images)

    def accuracy(judged: Path) -> Accuracy:
        return context.accuracy(judged, case.device, test, size)

    return Measurement(
        case=case,
        sidecar=sidecar,
        environment=context.environment(case.device),
        accuracy=accuracy(file),
        fp32_accuracy=accuracy(reference[1]) if reference else None,
        latency=time_pair(context, case.device, against, file, protocol, "latency"),
        fp32_bytes=sidecar.fp32_bytes,
        peak_memory_bytes=probe.peak_memory_bytes(device_of(case.device), file),
        skipped_images=test.skipped,
    )


def time_pair(
    context: Context, device: str, reference: tuple[str, Path], candidate: Path, protocol: Protocol, step: str
) -> PairedLatency:
    """Interleaved rounds of two files on one device; ``reference`` is its digest and its file."""
    with context.progress.track(step, protocol.rounds) as advance:
        return sampler.sample(
            lambda: context.session(reference[1], device),
            lambda: context.session(candidate, device),
            reference_sha256=reference[0],
            warmups=protocol.warmups,
            rounds=protocol.rounds,
            iterations=protocol.iterations,
            seed=protocol.seed,
            guard=guards.Guard(threads=device_of(device).threads),
            advance=advance,
        )


def _results(
    name: str, question: str, measurements: tuple[Measurement, ...], judgements: tuple[Judgement, ...]
) -> Results:
    return Results(
        schema_version=SCHEMA_VERSION,
        hqp_version=hqp.__version__,
        suite=name,
        question=question,
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        command=_command(),
        machine=environment.machine(),
        measurements=measurements,
        judgements=judgements,
    )


def _command() -> str:
    program = Path(sys.argv[0])
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return " ".join([name, *sys.argv[1:]])


def results_path(folder: Path, suite: str) -> Path:
    """Where a suite's results stand."""
    return folder / "results" / f"{suite}.json"


def shown(path: Path) -> Path:
    """A path as a user types it: relative where it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def bench_artifacts(paths: Sequence[Path], device: str, *, dataset: str | None = None) -> Results:
    """The measurements of finished artefacts on a device, beside FP32 where one of them is the same model's FP32."""
    made = [(path, artifacts.read(path).sidecar) for path in paths]
    catalog.load("runtimes", device_of(device).runtime)
    for path, sidecar in made:
        if dataset is not None and sidecar.dataset != dataset:
            fix = command("--dataset", sidecar.dataset)
            raise HqpError(f"{path} was made for {sidecar.dataset}, not {dataset}", fix=fix)
        catalog.load("datasets", sidecar.dataset)
    dense = {sidecar.checkpoint_sha256: (sidecar, path / artifacts.MODEL)
             for path, sidecar in made if sidecar.method == REFERENCE_METHOD}  # fmt: skip
    context = Context(Store(Path(".hqp")))
    measurements = []
    for number, (path, sidecar) in enumerate(made, 1):
        case = Case(sidecar.model, sidecar.method, device)
        reference = dense.get(sidecar.checkpoint_sha256)
        with context.progress.case(str(case), number, len(made)):
            measurements.append(measure_files(context, case, sidecar, path / artifacts.MODEL, reference, Protocol()))
    return _results("bench", "what these artefacts do on this device", tuple(measurements), ())
