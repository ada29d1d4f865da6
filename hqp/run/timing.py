"""What the gates on time ask of measuring: when it is enough, how many inferences, and a failure confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hqp.gates import BASELINE_LATENCY, BF16_LATENCY, FP16_LATENCY, LATENCY
from hqp.measure.stopping import is_narrow
from hqp.records import Measurement, PairedLatency, Rerun
from hqp.run import measuring
from hqp.run.context import Context
from hqp.run.judge import Bound
from hqp.run.measuring import Protocol

# The fields of a measurement that hold a pair's times, and those of its confirmation.
CONFIRMATIONS = {
    LATENCY: "confirmation",
    FP16_LATENCY: "fp16_confirmation",
    BF16_LATENCY: "bf16_confirmation",
}

# The baseline's artefact as the reference of its pair: its digest and its file.
Reference = tuple[str, Path]


@dataclass(frozen=True)
class Wanted:
    """What the gates that bind a case ask of one of its pairs, ``timed``: beside FP32, FP16, BF16 or the baseline."""

    bounds: tuple[Bound, ...]
    timed: str

    @classmethod
    def of(cls, bounds: Sequence[Bound], timed: str) -> Wanted:
        """What those of ``bounds`` ask that judge this pair."""
        return cls(tuple(bound for bound in bounds if bound.timed == timed), timed)

    @property
    def inferences(self) -> int:
        """The fewest single inferences that one of the gates can decide by."""
        return max((getattr(bound.plugin, "inferences", 0) for bound in self.bounds), default=0)

    @property
    def is_clear(self) -> Callable[[Measurement], bool] | None:
        """Whether no gate needs more blocks; ``None`` where no gate judges the pair."""
        return (lambda measurement: all(decides(bound, measurement) for bound in self.bounds)) if self.bounds else None

    def is_clear_with(self, measurement: Measurement, latency: PairedLatency) -> bool:
        """Whether no gate needs more blocks of the pair, or, where no gate judges it, its ratio is known."""
        if self.is_clear is None:
            return is_narrow(latency)
        return self.is_clear(with_times(measurement, self.timed, latency))


def decides(bound: Bound, measurement: Measurement) -> bool:
    """Whether a gate has come to a verdict, or has nothing to judge."""
    verdict = bound.judge(measurement).verdict
    return verdict is None or verdict.outcome != "inconclusive"


def fails(bound: Bound, measurement: Measurement) -> bool:
    """Whether a gate says that the case breaks its limit."""
    verdict = bound.judge(measurement).verdict
    return verdict is not None and verdict.outcome == "fail"


def confirmed(
    context: Context, measurement: Measurement, bound: Bound, reference: Reference, file: Path, protocol: Protocol
) -> Measurement:
    """The measurement of a case that fails a gate, its pair timed again in fresh processes; once, whoever asks.

    Beside a baseline the baseline's artefact is timed beside itself first: where these two differ as much, nothing is
    left to confirm.
    """
    case = measurement.case
    if bound.timed != BASELINE_LATENCY:
        again = CONFIRMATIONS[bound.timed]
        if getattr(measurement, again) is None:
            times = _again(context, measurement, bound, reference, file, protocol)
            measurement = _with(measurement, **{again: times})
        return measurement
    rerun = measurement.baseline
    if rerun is None or rerun.confirmation is not None:
        return measurement
    control = measuring.time_pair(
        context, case.device, reference, reference[1], protocol, "A/A control", lambda latency: True
    )
    measurement = replace(measurement, baseline=replace(rerun, control=control))
    if not fails(bound, measurement):
        return measurement
    times = _again(context, measurement, bound, reference, file, protocol)
    return replace(measurement, baseline=replace(rerun, control=control, confirmation=times))


def _again(
    context: Context, measurement: Measurement, bound: Bound, reference: Reference, file: Path, protocol: Protocol
) -> PairedLatency:
    """The pair timed again, until the gate would decide by that alone."""

    def is_clear(latency: PairedLatency) -> bool:
        return decides(bound, with_times(measurement, bound.timed, latency))

    # Another order of the arms than the first time.
    anew = replace(protocol, seed=protocol.seed + 1)
    return measuring.time_pair(context, measurement.case.device, reference, file, anew, "confirmation", is_clear)


def with_times(measurement: Measurement, timed: str, latency: PairedLatency) -> Measurement:
    """The measurement as if ``latency`` were what was timed first of the pair."""
    if timed == BASELINE_LATENCY:
        rerun = measurement.baseline or Rerun(latency.reference_sha256)
        return replace(measurement, baseline=replace(rerun, latency=latency, confirmation=None))
    return _with(measurement, **{timed: latency, CONFIRMATIONS[timed]: None})


def _with(measurement: Measurement, **changes: PairedLatency | None) -> Measurement:
    # Fields that are chosen by name have no types that a checker could follow.
    changed: Any = changes
    return replace(measurement, **changed)
