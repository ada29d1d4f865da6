"""What the gates on time share: an interval over processes beside a limit, a confirmation, and how it reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqp.gates import _wording
from hqp.records import Estimate, Outcome, PairedLatency, Verdict
from hqp.stats import decidable


@dataclass(frozen=True)
class Words:
    """How a gate words its verdicts around a limit: ``2.41x … reaches the required 2.00x``."""

    measured: str
    unit: str
    limit: str
    passes: str
    fails: str
    undecided: str


@dataclass(frozen=True)
class Question:
    """What a gate asks of times.

    ``estimate`` is what it judges; ``rounds`` how many of them would decide where that is near the limit. ``widened``
    is the limit by which it fails, where a control widened the margin. ``hint`` says what to do about a failure.
    """

    gate: str
    given: dict[str, float]
    limit: float
    decide: Callable[[Estimate, float], Outcome]
    estimate: Callable[[PairedLatency], Estimate | None]
    rounds: Callable[[PairedLatency], int | None]
    words: Words
    hint: Callable[[Estimate], str]
    widened: float | None = None

    def outcome(self, estimate: Estimate) -> Outcome:
        """The outcome of one interval: it passes by the limit, and fails by the widened one."""
        by_limit = self.decide(estimate, self.limit)
        if by_limit != "fail" or self.widened is None:
            return by_limit
        return "fail" if self.decide(estimate, self.widened) == "fail" else "inconclusive"


def verdict(question: Question, latency: PairedLatency, confirmation: PairedLatency | None) -> Verdict:
    """What a gate says of times; a failure stands only where a confirmation, if there is one, fails too."""
    estimate = question.estimate(latency)
    if estimate is None:
        return Verdict(question.gate, "inconclusive", _wording.too_few(latency), None, question.given)
    outcome = question.outcome(estimate)
    again = question.estimate(confirmation) if confirmation is not None else None
    if outcome == "fail" and confirmation is not None:
        confirmed = again is not None and question.outcome(again) == "fail"
        outcome = "fail" if confirmed else "inconclusive"
    reason = _reason(question, latency, estimate, outcome, again)
    return Verdict(question.gate, outcome, reason, estimate, question.given)


def _reason(
    question: Question, latency: PairedLatency, estimate: Estimate, outcome: Outcome, again: Estimate | None
) -> str:
    words = question.words
    places = _wording.decimals(estimate, question.limit)
    limit = words.limit.format(f"{question.limit:.{places}f}")
    measured = words.measured.format(_wording.interval(estimate, words.unit, places))
    if outcome == "pass":
        return f"{measured} {words.passes} {limit}"
    # Only where nothing is decided is the number of rounds worth working out.
    advice = question.hint(estimate) if outcome == "fail" else _wording.more_rounds(question.rounds(latency))
    if question.decide(estimate, question.limit) != "fail":
        return f"{measured} {words.undecided} {limit} after {latency.processes} processes; {advice}"
    reason = f"{measured} {words.fails} {limit}"
    if question.widened not in (None, question.limit):
        reason += f", and the baseline beside itself measured {question.widened:.{places}f}{words.unit}"
    if again is not None:
        found = "confirmed in fresh processes:" if outcome == "fail" else "but fresh processes gave"
        reason += f", {found} {_wording.interval(again, words.unit, places)}"
    elif outcome != "fail":
        reason += ", which could not be confirmed"
    return f"{reason}; {advice}"


def rounds(latency: PairedLatency, values: npt.NDArray[np.float64], limit: float) -> int | None:
    """How many rounds would decide where ``values``, one a process, scatter around a limit."""
    processes = decidable.processes_to_decide(values, limit, latency.tail)
    return processes * (len(latency.blocks) // latency.processes) if processes else None
