"""The difference of two proportions that were counted on the same images."""

from __future__ import annotations

from math import sqrt

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq
from scipy.special import ndtri

from hqp.records import Estimate

# How near a bound may come to where the score is 0 / 0; as a difference of proportions, far below one image.
EDGE = 1e-12


def drop_pp(reference: npt.NDArray[np.bool_], candidate: npt.NDArray[np.bool_], confidence: float) -> Estimate:
    """How much smaller the share of hits of ``candidate`` is, in points, paired by image; negative is a gain.

    Both are bool of shape (n,). The interval is Tango's score interval: it uses only the images on which the two
    differ and holds also where these are few or none. Source: T. Tango, "Equivalence test and confidence interval for
    the difference in proportions for the paired-sample design", Statistics in Medicine 17 (1998), 891-908.

    Raises:
        ValueError: the two are not of one length of at least 1.
    """
    if reference.shape != candidate.shape or reference.ndim != 1 or not reference.size:
        raise ValueError(f"hits of shapes {reference.shape} and {candidate.shape} do not pair")
    total = len(reference)
    lost = int(np.count_nonzero(reference & ~candidate))
    gained = int(np.count_nonzero(candidate & ~reference))
    lower, upper = score_interval(lost, gained, total, confidence)
    return Estimate(100 * (lost - gained) / total, 100 * lower, 100 * upper, confidence)


def score_interval(lost: int, gained: int, total: int, confidence: float) -> tuple[float, float]:
    """Tango's bounds of (lost - gained) / total: the differences that a score test at ``confidence`` does not reject.

    ``lost`` images are hits of the reference only and ``gained`` of the candidate only, of ``total`` images.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} does not lie between 0 and 1")
    deviation = float(ndtri((1 + confidence) / 2))
    return -_upper(gained, lost, total, deviation), _upper(lost, gained, total, deviation)


def _upper(lost: int, gained: int, total: int, deviation: float) -> float:
    """The largest difference whose score is not below ``-deviation``."""
    low, high = (lost - gained) / total + EDGE, 1 - EDGE
    if low >= high:
        return 1.0
    bound = brentq(lambda difference: _score(difference, lost, gained, total) + deviation, low, high, xtol=1e-15)
    return float(bound)


def _score(difference: float, lost: int, gained: int, total: int) -> float:
    """The standardised distance of the counts from a true ``difference``: normal of mean 0 and deviation 1 there.

    The chance q of an image being gained is the likeliest one given the difference, the larger root of
    2n q^2 + b q + c = 0.
    """
    b = (2 * total - lost + gained) * difference - lost - gained
    c = -gained * difference * (1 - difference)
    root = sqrt(max(b * b - 8 * total * c, 0.0))
    # Of the two forms of the root, the one that subtracts no nearly equal numbers.
    chance = -2 * c / (root + b) if b > 0 else (root - b) / (4 * total)
    variance = total * (2 * chance + difference * (1 - difference))
    return (lost - gained - total * difference) / sqrt(variance)
