"""Many verdicts of one run: the chance that any of them is a false alarm stays what one alone may have."""

from __future__ import annotations


def next_level(alpha: float, tests: int, rejected: int) -> float:
    """The level of the next of ``tests`` in a run that has already rejected so many.

    Holm's levels, for tests whose verdicts are said one after the other: alpha / (tests - rejected). Where all before
    were rejected rightly, at least as many are left as there are true hypotheses; so the chance that any true one is
    ever rejected is at most alpha, however the tests depend on each other and in whatever order they come. Source:
    S. Holm, "A simple sequentially rejective multiple test procedure", Scand. J. Statist. 6 (1979), 65-70.

    Raises:
        ValueError: no test is left, or ``alpha`` does not lie between 0 and 1.
    """
    if not 0 <= rejected < tests or not 0 < alpha < 1:
        raise ValueError(f"level {alpha} of {tests} tests of which {rejected} are rejected")
    return alpha / (tests - rejected)
