"""A run of a suite: what the pytest plug-in asks for, case by case and gate by gate."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from hqp.errors import HqpError
from hqp.gates import BASELINE_LATENCY, LATENCY
from hqp.records import Against, Artifact, Case, Judgement, Measurement, PairedLatency, Results
from hqp.run import compress, judge, measuring, reruns, results, timing
from hqp.run.context import Context
from hqp.run.inputs import artifacts
from hqp.run.judge import Bound, ResolvedSuite
from hqp.run.measuring import Protocol
from hqp.run.reruns import Stored
from hqp.run.timing import Reference, Wanted
from hqp.suite import Suite


@dataclass(eq=False)
class SuiteRun:
    """One run of a suite: each case is measured once, when the first gate asks for it, and each gate counts once.

    ``record_command`` is what a user types to record a baseline.
    """

    question: str
    suite: Suite
    context: Context
    stored: Stored
    record_command: str
    resolved: ResolvedSuite = field(init=False)
    _measured: dict[Case, Measurement] = field(default_factory=dict)
    _files: dict[Case, Path] = field(default_factory=dict)
    _references: dict[tuple[Case, str], Reference] = field(default_factory=dict)
    _failed: dict[Case, HqpError | OSError] = field(default_factory=dict)
    _judged: dict[tuple[str, Case], Judgement] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.resolved = self._resolved()

    def _resolved(self) -> ResolvedSuite:
        return judge.resolve(self.suite, self.context.plugins)

    @property
    def bounds(self) -> tuple[Bound, ...]:
        """The gates of the suite."""
        return self.resolved.bounds

    @property
    def name(self) -> str:
        return self.stored.suite

    @property
    def cases(self) -> tuple[Case, ...]:
        return tuple(self.suite.cases())

    def protocol(self, wanted: Wanted) -> Protocol:
        """How the suite times a pair by which gates judge, or none does."""
        suite = self.suite
        kept = suite.disturbed == "kept"
        return Protocol(suite.rounds, suite.seed, suite.test_images, wanted.inferences, keeps_disturbed=kept)

    def wanted(self, case: Case, timed: str) -> Wanted:
        """What the gates that bind a case ask of one of its pairs."""
        return Wanted.of(self.binding(case), timed)

    def binding(self, case: Case) -> tuple[Bound, ...]:
        """The gates whose verdict on a case passes or fails the suite."""
        return tuple(bound for bound in self.bounds if bound.binds(case))

    def judge(self, case: Case, bound: Bound) -> Judgement:
        """The judgement of a gate that binds the case; of one that is judged again, the last counts."""
        if _needs_baseline(bound):
            # A damaged baseline is refused before minutes are spent on measuring.
            self.stored.baseline(self.context, case.device)
        self.measure(case)
        measurement = self._supplied(case, bound)
        if _needs_baseline(bound) and measurement.baseline is None:
            skipped = f"no baseline of {case} was recorded; to record one: {self.record_command}"
            judgement = Judgement(bound.gate.name, case, True, None, skipped)
        else:
            judgement = bound.judge(self._confirmed(case, bound) if timing.fails(bound, measurement) else measurement)
        self._judged[bound.gate.name, case] = judgement
        return judgement

    def show(self, case: Case) -> None:
        """Measures a case that no gate binds, with what the gates that are shown for it need."""
        self.measure(case)
        for bound in self.bounds:
            if bound.shows(case):
                self._supplied(case, bound)

    def measure(self, case: Case) -> Measurement:
        """The measurement of a case, made on the first call; one that failed fails again, and is not tried again."""
        if case in self._failed:
            raise self._failed[case]
        if case not in self._measured:
            number = len(self._measured) + 1
            try:
                with self.context.progress.case(str(case), number, len(self.cases)):
                    self._measured[case] = self._measure(case)
            except (HqpError, OSError) as error:
                self._failed[case] = error
                raise
        return self._measured[case]

    def _measure(self, case: Case) -> Measurement:
        dense_case = replace(case, method=judge.REFERENCE_METHOD)
        made, reference = self._made(case), self._made(dense_case)
        self._files[case] = Path(made.path) / artifacts.MODEL
        dense = (reference.sidecar, Path(reference.path) / artifacts.MODEL)
        self._references[case, LATENCY] = (reference.sidecar.file.sha256, dense[1])
        wanted = self.wanted(case, LATENCY)
        protocol, file = self.protocol(wanted), self._files[case]
        return measuring.measure_files(self.context, case, made, file, dense, protocol, wanted.is_clear)

    def _made(self, case: Case) -> Artifact:
        return compress.artifact(self.context, self.resolved.cases[case])

    def _supplied(self, case: Case, bound: Bound) -> Measurement:
        """The measurement of a measured case with what a gate needs beside it, timed when it is first needed."""
        for half in judge.HALF_METHODS:
            if half in bound.plugin.needs and case.method != half:
                self._measured[case] = self._beside_half(case, half)
        if _needs_baseline(bound):
            measured, file, needs = self._measured[case], self._files[case], bound.plugin.needs
            wanted = self.wanted(case, BASELINE_LATENCY)
            protocol, is_clear = self.protocol(wanted), wanted.is_clear
            self._measured[case] = reruns.supply(self.context, self.stored, needs, measured, file, protocol, is_clear)
        return self._measured[case]

    def _beside_half(self, case: Case, method: str) -> Measurement:
        """The measurement of a case with its times beside FP16 or BF16 of the same model, which is its own method."""
        measured, timed = self._measured[case], judge.HALF_METHODS[method]
        if getattr(measured, timed) is not None:
            return measured
        half = self._made(replace(case, method=method))
        reference = (half.sidecar.file.sha256, Path(half.path) / artifacts.MODEL)
        self._references[case, timed] = reference
        wanted, file = self.wanted(case, timed), self._files[case]

        def is_clear(latency: PairedLatency) -> bool:
            return wanted.is_clear_with(measured, latency)

        step = f"latency beside {method.upper()}"
        protocol = self.protocol(wanted)
        times = measuring.time_pair(self.context, case.device, reference, file, protocol, step, is_clear)
        return timing.with_times(measured, timed, times)

    def _confirmed(self, case: Case, bound: Bound) -> Measurement:
        """The measurement of a case that fails a gate, timed again where the gate judges time."""
        measured = self._measured[case]
        reference = self._reference(case, bound)
        if reference is not None:
            tests = judge.verdicts_on_time(self.bounds, self.cases)
            tail = judge.confirmation_tail(tests, self._failures_on_time())
            protocol = replace(self.protocol(self.wanted(case, bound.timed)), tail=tail)
            file = self._files[case]
            self._measured[case] = timing.confirmed(self.context, measured, bound, reference, file, protocol)
        return self._measured[case]

    def _reference(self, case: Case, bound: Bound) -> Reference | None:
        """The file beside which the gate's pair is timed; ``None`` where the gate does not judge time."""
        rerun = self._measured[case].baseline
        if bound.timed != BASELINE_LATENCY:
            return self._references.get((case, bound.timed))
        if rerun is None:
            return None
        old = self.stored.artefact(self.context, rerun.model_sha256)
        return None if old is None else (rerun.model_sha256, old)

    def _failures_on_time(self) -> int:
        """How many verdicts on time this run has said to have failed."""
        timed = {bound.gate.name for bound in self.bounds if bound.timed}
        verdicts = [judgement.verdict for judgement in self._judged.values() if judgement.gate in timed]
        return sum(verdict is not None and verdict.outcome == "fail" for verdict in verdicts)

    def unmeasured(self) -> tuple[tuple[Case, ...], tuple[Case, ...]]:
        """The planned cases that were not measured, and those of the suite's baselines that are planned no more."""
        planned = tuple(case for case in self.cases if case not in self._measured)
        recorded = self.stored.cases(self.context, self.suite.devices)
        return planned, tuple(case for case in recorded if case not in self.cases)

    def results(self) -> Results:
        """All that was measured and judged so far, with what the gates would have said of cases they do not bind."""
        judgements = (*self._judged.values(), *self._shown())
        measured = tuple(self._measured.values())
        return results.results(self.name, self.question, measured, judgements, self._against())

    def _against(self) -> tuple[Against, ...]:
        """The baselines whose artefacts were rerun, or whose counts were taken, by device."""
        devices = {measured.case.device for measured in self._measured.values() if measured.baseline is not None}
        used = (self.stored.against(self.context, device) for device in sorted(devices))
        return tuple(filter(None, used))

    def _shown(self) -> list[Judgement]:
        """One judgement per unbound case and gate: two gates of a name may both leave a case unbound."""
        kept: dict[tuple[str, Case], Judgement] = {}
        for case, measurement in self._measured.items():
            for bound in self.bounds:
                if bound.shows(case) and not bound.binds(case):
                    judgement = _judged(bound, measurement)
                    if judgement is not None and judgement.verdict is not None:
                        kept.setdefault((bound.gate.name, case), judgement)
        return list(kept.values())


def _needs_baseline(bound: Bound) -> bool:
    return bool({reruns.LATENCY, reruns.ACCURACY} & set(bound.plugin.needs))


def _judged(bound: Bound, measurement: Measurement) -> Judgement | None:
    """The judgement that is only shown; one that cannot be made is left out, since it must not cost the run."""
    try:
        return bound.judge(measurement)
    except HqpError:
        return None
