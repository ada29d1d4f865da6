"""Three-valued decisions: an interval against a limit."""

from __future__ import annotations

from hqp.records import Estimate, Outcome

# Each side of a two-sided interval of 90% is a one-sided test at 5%: of the cases that truly break a limit, one in
# twenty at most passes, and of those that truly keep it, one in twenty at most fails.
CONFIDENCE = 0.90


def at_most(estimate: Estimate, limit: float) -> Outcome:
    """``pass`` where the whole interval is at most ``limit``, ``fail`` where all of it is above."""
    if estimate.upper <= limit:
        return "pass"
    return "fail" if estimate.lower > limit else "inconclusive"


def at_least(estimate: Estimate, limit: float) -> Outcome:
    """``pass`` where the whole interval is at least ``limit``, ``fail`` where all of it is below."""
    if estimate.lower >= limit:
        return "pass"
    return "fail" if estimate.upper < limit else "inconclusive"
