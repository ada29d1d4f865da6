"""How many processes an interval over processes needs to decide, and how small a difference it can find."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtr, ndtri, stdtrit

from hqp.stats import sequential

Values = Sequence[float] | npt.NDArray[np.float64]

POWER = 0.8
# By how many equally likely distances the one that is not known is stood for.
DISTANCES = 16
# Beyond so many processes no number is an answer: they would take half an hour.
MOST_PROCESSES = 500


def processes_to_decide(values: Values, limit: float, tail: float, power: float = POWER) -> int | None:
    """The fewest processes with which a run anew decides with a chance of ``power``; ``None`` where none is an answer.

    ``values`` are what the processes of this run gave, at least two. The true distance from the limit is not the one
    that was measured: it scatters around it by Student's t with the standard error of a median, s sqrt(pi / 2 n), and
    the chance is the mean over what it may be. Such a mean is called assurance: A. O'Hagan, J. Stevens, M. Campbell,
    Pharmaceutical Statistics 4 (2005), 187-201.
    """
    seen = np.asarray(values, dtype=np.float64)
    spread, distance = float(np.std(seen, ddof=1)), float(np.median(seen)) - limit
    if not distance:
        return None
    error = stdtrit(len(seen) - 1, (np.arange(DISTANCES) + 0.5) / DISTANCES) * np.sqrt(np.pi / 2 / len(seen))
    # Of each distance it may be, the chance that a process lies on its side of the limit.
    shares = ndtr(np.abs(distance / spread + error)) if spread else np.ones(1)
    enough = (most for most in _plans(tail) if sequential.power(sequential.looks(most, tail), shares).mean() >= power)
    return next(enough, None)


def detectable(values: Values, most: int, tail: float, power: float = POWER) -> float:
    """The smallest distance from a limit that ``most`` such processes decide with a chance of ``power``.

    In the unit of ``values``, of which there are at least two. Their spread s is taken for that of a normal
    distribution: a process lies beyond the limit with the chance Phi(distance / s), and the chance to decide is that of
    the exact boundaries. Source: G. Noether, "Sample size determination for some common nonparametric tests", J. Am.
    Statist. Assoc. 82 (1987), 645-647, 2.1, for the sign test with one look.
    """
    planned = sequential.looks(most, tail)
    share = brentq(lambda chance: float(sequential.power(planned, chance)) - power, 0.5, 1)
    return float(np.std(np.asarray(values, dtype=np.float64), ddof=1) * ndtri(share))


def _plans(tail: float) -> list[int]:
    """Numbers of processes, each about a twentieth more than the one before."""
    plans = [sequential.fewest(tail)]
    while plans[-1] < MOST_PROCESSES:
        plans.append(plans[-1] + max(1, plans[-1] // 20))
    return plans
