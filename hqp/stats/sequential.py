"""Looking at numbers while they come in, without more false alarms: exact boundaries for a median.

Each value lies above the true median with chance 1/2, whatever the distribution: skewed, with outliers, or of one side
only. So the count of values above a limit is a random walk whose every path can be counted. The values are to be
independent: one a process, never one a block or an inference.

The chance of a wrong tail that is allowed altogether is spent over the looks by a function of the share of values that
are there: K. Lan, D. DeMets, "Discrete sequential boundaries for clinical trials", Biometrika 70 (1983), 659-663, with
their function of Pocock's type, ``tail * log(1 + (e - 1) t)``. The interval at a look is a repeated confidence
interval (C. Jennison, B. Turnbull, J. R. Statist. Soc. B 51 (1989), 305-361): it holds whenever one stops, and why.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from hqp.records import Estimate

# Chances are sums of powers of 1/2; beyond a double's rounding no look may spend more than is there.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Look:
    """A moment at which one may decide: after so many ``values``, of which so many must lie ``beyond`` the limit."""

    values: int
    beyond: int


def spent(tail: float, share: float) -> float:
    """How much of ``tail`` may be spent when ``share`` (0 to 1) of the values are there."""
    return tail * math.log(1 + (math.e - 1) * share)


@cache
def looks(most: int, tail: float) -> tuple[Look, ...]:
    """The looks at up to ``most`` values with which each side is wrong with a chance of at most ``tail`` altogether.

    Raises:
        ValueError: there are no values, or ``tail`` does not lie between 0 and 1/2.
    """
    if most < 1 or not 0 < tail < 0.5:
        raise ValueError(f"{most} values and a tail of {tail}")
    planned: list[Look] = []
    used = 0.0
    # The chances that so many values were beyond a limit at the true median, and no look has decided.
    undecided = np.ones(1)
    for values in range(1, most + 1):
        undecided = _one_more(undecided, 0.5)
        at_least = np.cumsum(undecided[::-1])[::-1]
        allowed = spent(tail, values / most) - used + ROUNDING
        beyond = int(np.searchsorted(-at_least, -allowed))
        # Where nothing is left that far out, this look could decide nothing new.
        if beyond <= values and at_least[beyond] > 0:
            planned.append(Look(values, beyond))
            used += float(at_least[beyond])
            undecided[beyond:] = 0
    return tuple(planned)


def power(planned: Sequence[Look], shares: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """The chance that some look decides, where each value lies beyond the limit with one of the chances ``shares``."""
    share = np.asarray(shares, dtype=np.float64)[..., np.newaxis]
    decided, undecided, values = np.zeros(share.shape[:-1]), np.ones_like(share), 0
    for look in planned:
        for _ in range(look.values - values):
            undecided = _one_more(undecided, share)
        values = look.values
        decided += undecided[..., look.beyond :].sum(axis=-1)
        undecided[..., look.beyond :] = 0
    return decided


def median(values: Sequence[float] | npt.NDArray[np.float64], most: int, tail: float) -> Estimate | None:
    """The median of values that came in one by one, of at most ``most``, at the last look that they reach.

    ``None`` before the first look. Each bound is one of the sorted values, and misses the true median with a chance of
    at most ``tail`` over all looks together. Values after the last look wait for the next one.

    Raises:
        ValueError: a value is not finite; see ``looks``.
    """
    seen = np.asarray(values, dtype=np.float64)
    if not np.isfinite(seen).all():
        raise ValueError("a median needs finite values")
    reached = [look for look in looks(most, tail) if look.values <= len(seen)]
    if not reached:
        return None
    look = reached[-1]
    ordered = np.sort(seen[: look.values])
    lower, upper = ordered[look.values - look.beyond], ordered[look.beyond - 1]
    return Estimate(float(np.median(ordered)), float(lower), float(upper), 1 - 2 * tail)


def fewest(tail: float) -> int:
    """The smallest plan that can decide at all."""
    most = 1
    while not looks(most, tail):
        most += 1
    return most


def _one_more(chances: npt.NDArray[np.float64], share: float | npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The chances of each count, on the last axis, after one more value, which counts with the chance ``share``."""
    none = np.zeros_like(chances[..., :1])
    stays, rises = np.append(chances, none, axis=-1), np.append(none, chances, axis=-1)
    grown: npt.NDArray[np.float64] = stays * (1 - share) + rises * share
    return grown
