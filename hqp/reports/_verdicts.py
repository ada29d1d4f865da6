"""What the gates said: counted, case by case in a sign, and in a sentence for whatever did not pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from hqp.errors import command
from hqp.records import Case, Judgement, Outcome, Results
from hqp.reports import _numbers
from hqp.reports._layout import ABSENT, Section

SYMBOLS: dict[Outcome, str] = {"pass": "✓", "fail": "✗", "inconclusive": "?"}
LEGEND = f"✓ pass   ✗ fail   ? inconclusive   (…) shown, not gated   {ABSENT} not measured or not judged"

# What runs suites, and can run a single test of one.
PYTEST = "pytest"


def counted(results: Results) -> str:
    """How many verdicts that bind there are of each outcome, in words."""
    binding = [judgement for judgement in results.judgements if judgement.bound]
    counts = Counter(judgement.verdict.outcome for judgement in binding if judgement.verdict)
    skipped = sum(judgement.verdict is None for judgement in binding)
    if not binding:
        return "gates: none binds these cases"
    told = (f"{counts['pass']} passed", f"{counts['fail']} failed", f"{counts['inconclusive']} inconclusive")
    return f"gates: {', '.join(told)}, {skipped} skipped"


def section(results: Results) -> Section:
    """The counts; a sentence for each gate that did not pass, the failed ones first, and why any was skipped."""
    return Section(counted(results), lines=(*map(str, not_passed(results)), *skipped(results)))


@dataclass(frozen=True)
class NotPassed:
    """A gate that a case did not pass: why, and what to type next, which the reason itself may say already."""

    outcome: Outcome
    case: Case
    gate: str
    reason: str
    command: str

    def __str__(self) -> str:
        again = f"; try: {self.command}" if self.command else ""
        return f"{SYMBOLS[self.outcome]} {self.case}  {self.gate}: {self.reason}{again}"


def not_passed(results: Results, model: str | None = None) -> Iterator[NotPassed]:
    """Each gate that failed or is inconclusive, of one model or of all; the failed ones come first."""
    outcomes: tuple[Outcome, ...] = ("fail", "inconclusive")
    for outcome in outcomes:
        for judgement in results.judgements:
            verdict = judgement.verdict
            mine = model is None or judgement.case.model == model
            if judgement.bound and mine and verdict and verdict.outcome == outcome:
                again = "" if "try: " in verdict.reason else _again(results, judgement)
                yield NotPassed(outcome, judgement.case, verdict.gate, verdict.reason, again)


def skipped(results: Results) -> Iterator[str]:
    """A line for each reason for which gates were skipped, with how many were."""
    without = [judgement for judgement in results.judgements if judgement.bound and judgement.verdict is None]
    for why, count in Counter(map(_reason, without)).items():
        yield f"{ABSENT} {count} skipped: {why}"


def cell(judgements: tuple[Judgement, ...], case: Case, gate: str) -> str:
    """The sign of a gate's worst verdict on a case, of those that bind it, or else of those that are only shown."""
    bound = _numbers.outcome(judgements, case, gate)
    if bound:
        return SYMBOLS[bound]
    shown = _numbers.outcome(judgements, case, gate, bound=False)
    return f"({SYMBOLS[shown]})" if shown else ABSENT


def of_case(judgements: tuple[Judgement, ...], case: Case) -> str:
    """The sign of the worst verdict that binds a case, and how many gates passed: ``✗ 2/3``."""
    outcomes = [one.verdict.outcome for one in judgements if one.case == case and one.bound and one.verdict]
    if not outcomes:
        return ABSENT
    worst = next(outcome for outcome in _numbers.WORST_FIRST if outcome in outcomes)
    return f"{SYMBOLS[worst]} {outcomes.count('pass')}/{len(outcomes)}"


def _again(results: Results, judgement: Judgement) -> str:
    """The command that judges a case again: the one test of the suite's file, or all that ran."""
    ran = results.command.split()
    file = next((word for word in ran if word.endswith(f"{results.suite}.py")), "")
    if PYTEST in ran and file:
        return command(PYTEST, f"{file}::{judgement.case}::{judgement.gate}")
    return results.command


def _reason(judgement: Judgement) -> str:
    """The reason of a skip without the case, so that equal reasons are told once."""
    return (judgement.skipped or "nothing to judge").replace(str(judgement.case), "the case")
