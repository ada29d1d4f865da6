"""How much more must be measured for an interval to decide."""

from __future__ import annotations

from math import ceil

from hqp.records import Estimate

# Beyond a hundred times as many samples, the estimate as good as lies on the limit: no number is an answer.
MOST_TIMES = 100
# An answer that starts with "about" is rounded up to so many digits.
DIGITS = 2


def samples_to_decide(estimate: Estimate, limit: float, samples: int) -> int | None:
    """About how many samples, in place of ``samples``, free the interval of ``limit``; ``None`` where it lies too near.

    It holds if the estimate stays where it is: an interval narrows with the square root of the number of samples.
    """
    gap = abs(estimate.value - limit)
    reach = estimate.upper - estimate.value if limit > estimate.value else estimate.value - estimate.lower
    if reach <= gap:
        return samples
    if reach * reach > MOST_TIMES * gap * gap:
        return None
    needed = ceil(samples * (reach / gap) ** 2)
    step: int = 10 ** max(len(str(needed)) - DIGITS, 0)
    return ceil(needed / step) * step
