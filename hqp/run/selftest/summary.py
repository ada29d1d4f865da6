"""What the trials of the gate add up to: false alarms, slow-downs found, what was left open, beside other rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from hqp.records import Estimate
from hqp.run.selftest.rivals import RULES, Samples
from hqp.run.selftest.trials import Trial
from hqp.stats import decidable, proportion, ratio

# Of the shares of trials that failed and that were left open.
CONFIDENCE = 0.95
# How often a slow-down must be found to count as detectable.
DETECTED = 0.8


@dataclass(frozen=True)
class Row:
    """The trials of one slow-down. Of 0, ``failed`` are false alarms; of others, slow-downs that were found."""

    slower_percent: float
    measured_percent: float
    busy: int
    trials: int
    failed: int
    inconclusive: int
    passed: int
    failed_percent: Estimate
    inconclusive_percent: Estimate
    seconds: float
    longest_seconds: float


@dataclass(frozen=True)
class Rival:
    """How often another harness's rule alarms on the same samples: of the two arms, and of the run before."""

    rule: str
    slower_percent: float
    busy: int
    trials: int
    alarms: int
    compared_before: int
    alarms_before: int


@dataclass(frozen=True)
class LeftOut:
    """A slow-down that no layer makes on this device, so that it was not tried; and the nearest that one makes."""

    slower_percent: float
    nearest_percent: float


@dataclass(frozen=True)
class Summary:
    """All trials of an artefact in one environment, and which slow-downs could not be tried in the call that asks.

    ``found_from_percent`` is the smallest slow-down that at least four of five such runs find, by the lower limit of
    what was counted; ``detectable_percent`` is what the scatter of the processes says of it, the median over trials.
    """

    device: str
    environment: str
    model_sha256: str
    margin: float
    rows: tuple[Row, ...]
    found_from_percent: float | None
    detectable_percent: float | None
    rivals: tuple[Rival, ...]
    left_out: tuple[LeftOut, ...] = ()


def summary(
    device: str,
    environment: str,
    sha256: str,
    margin: float,
    trials: Sequence[Trial],
    left_out: tuple[LeftOut, ...] = (),
) -> Summary:
    """The summary of some trials, which may be none."""
    rows = tuple(_row(group) for group in _groups(trials))
    found = [row.slower_percent for row in rows if row.slower_percent and _lower(row) >= DETECTED and not row.busy]
    spreads = [_detectable(done) for done in trials if done.latency.processes > 1 and not done.busy]
    return Summary(
        device=device,
        environment=environment,
        model_sha256=sha256,
        margin=margin,
        rows=rows,
        found_from_percent=min(found, default=None),
        detectable_percent=round(median(spreads), 2) if spreads else None,
        rivals=tuple(rival for group in _groups(trials) for rival in _rivals(group)),
        left_out=left_out,
    )


def _groups(trials: Sequence[Trial]) -> list[list[Trial]]:
    """Trials of one slow-down and as many busy neighbours, in order."""
    groups: dict[tuple[int, float], list[Trial]] = {}
    for done in trials:
        groups.setdefault((done.busy, done.asked), []).append(done)
    return [groups[key] for key in sorted(groups)]


def _row(trials: list[Trial]) -> Row:
    outcomes = [done.outcome for done in trials]
    failed, inconclusive = outcomes.count("fail"), outcomes.count("inconclusive")
    return Row(
        slower_percent=round(100 * trials[0].asked, 6),
        measured_percent=round(100 * median(done.slower for done in trials), 2),
        busy=trials[0].busy,
        trials=len(trials),
        failed=failed,
        inconclusive=inconclusive,
        passed=outcomes.count("pass"),
        failed_percent=proportion.percent(failed, len(trials), CONFIDENCE),
        inconclusive_percent=proportion.percent(inconclusive, len(trials), CONFIDENCE),
        seconds=round(median(done.seconds for done in trials), 1),
        longest_seconds=round(max(done.seconds for done in trials), 1),
    )


def _lower(row: Row) -> float:
    return row.failed_percent.lower / 100


def _detectable(done: Trial) -> float:
    """The slow-down in percent that a run with such processes finds in four of five: beyond the margin."""
    latency = done.latency
    distance = decidable.detectable(ratio.slowdowns(latency), latency.most_processes, latency.tail)
    return float(100 * np.expm1(np.log1p(done.margin) + distance))


def _rivals(trials: list[Trial]) -> Iterator[Rival]:
    """Each rule on trials of one slow-down: new samples beside the other arm's, and those of the trial before."""
    timed = [done for done in trials if done.latency.blocks]
    for name, rule in RULES.items():
        yield Rival(
            rule=name,
            slower_percent=round(100 * trials[0].asked, 6),
            busy=trials[0].busy,
            trials=len(timed),
            alarms=_alarms(rule, timed, timed),
            compared_before=max(0, len(timed) - 1),
            alarms_before=_alarms(rule, timed[:-1], timed[1:]),
        )


def _alarms(rule: Callable[[Samples, Samples], bool], old: Sequence[Trial], new: Sequence[Trial]) -> int:
    pairs = zip(old, new, strict=True)
    return sum(rule(before.latency.reference_ms, after.latency.candidate_ms) for before, after in pairs)
