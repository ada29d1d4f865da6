"""Whether two runs of a suite agree: the same artefacts, the same images right, and times that may be the same."""

from __future__ import annotations

from collections.abc import Iterator

from hqp.records import Accuracy, Measurement, PairedLatency, Results
from hqp.stats import ratio

# What drift of the machine between two runs moves a paired ratio by; intervals further apart are two results.
DRIFT = 0.02


def disagreements(one: Results, other: Results) -> tuple[str, ...]:
    """In what two runs differ, a clause for each case; none where either would do as a baseline."""
    if (one.date, one.measurements) == (other.date, other.measurements):
        return ("they are one run",)
    twins = {measured.case: measured for measured in other.measurements}
    found = []
    for measured in one.measurements:
        twin = twins.get(measured.case)
        told = ["is in one of them only"] if twin is None else list(_between(measured, twin))
        if told:
            found.append(f"{measured.case} {', '.join(told)}")
    return tuple(found)


def _between(one: Measurement, other: Measurement) -> Iterator[str]:
    differing = one.environment.differing(other.environment)
    if differing:
        yield f"is of two environments ({', '.join(differing)})"
    if one.sidecar.file.sha256 != other.sidecar.file.sha256:
        yield "has two artefacts"
    elif _counted(one.accuracy) != _counted(other.accuracy):
        yield "has other images right in each"
    yield from _times(one.latency, other.latency)


def _counted(accuracy: Accuracy) -> tuple[object, ...]:
    return accuracy.split_digest, accuracy.total, accuracy.correct_images.tobytes()


def _times(one: PairedLatency, other: PairedLatency) -> Iterator[str]:
    """Whether the candidate's time beside the reference's may be one; what could not be bounded contradicts nothing."""
    first, second = ratio.speedup(one), ratio.speedup(other)
    if first is None or second is None:
        return
    lower, upper = sorted((first, second), key=lambda estimate: estimate.value)
    if lower.upper * (1 + DRIFT) < upper.lower:
        told = " and ".join(f"{estimate.lower:.2f} to {estimate.upper:.2f}" for estimate in (first, second))
        yield f"is {told} times as fast as its reference"
