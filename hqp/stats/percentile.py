"""A percentile of the time of single inferences, with an interval that assumes no distribution."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import bdtr, ndtri, stdtrit

from hqp.records import Estimate

POWER = 0.8
# An hour of a network of 4 ms: beyond it no number is an answer.
MOST_SAMPLES = 1_000_000


def percentile(groups: Sequence[Sequence[float]], share: float, confidence: float) -> Estimate | None:
    """The value below which ``share`` of all samples lie; ``None`` where they are too few to bound it on both sides.

    ``groups`` are the samples of one process each. The bounds are two of the sorted samples: of n independent ones,
    the k-th smallest exceeds the percentile where fewer than k lie below it, a binomial number. Source: H. David, H.
    Nagaraja, "Order Statistics" (2003), 7.1. Samples of one process are alike, so n counts as n / d, where d is the
    variance of the processes' counts beyond the percentile over what independent samples would give (at least 1):
    L. Kish, "Survey Sampling" (1965), 5.4, the design effect.

    Raises:
        ValueError: a sample is not finite; ``share`` or ``confidence`` does not lie between 0 and 1.
    """
    if not 0 < share < 1 or not 0 < confidence < 1:
        raise ValueError(f"share {share} and confidence {confidence} lie between 0 and 1")
    ordered = np.sort(np.concatenate([np.asarray(group, dtype=np.float64) for group in groups] or [np.empty(0)]))
    if not np.isfinite(ordered).all():
        raise ValueError("a percentile needs finite samples")
    if not len(ordered):
        return None
    value, tail = float(np.quantile(ordered, share)), (1 - confidence) / 2
    # Few samples lie beyond the percentile itself: how alike those of a process are shows at a lower one, too.
    shares = (share, share**2)
    effect = max(_design_effect(groups, float(np.quantile(ordered, each)), each, tail) for each in shares)
    ranks = _ranks(len(ordered), effect, share, tail)
    if ranks is None:
        return None
    lower, upper = float(ordered[ranks[0]]), float(ordered[ranks[1]])
    return Estimate(min(max(value, lower), upper), lower, upper, confidence)


def samples_to_decide(beyond: int, total: int, share: float, tail: float) -> int | None:
    """The fewest samples of which the percentile's interval leaves a limit out with a chance of 80%; or ``None``.

    ``beyond`` of ``total`` samples lay above the limit, and so will a share (beyond + 1/2) / (total + 1) of new ones.
    """
    above = (beyond + 0.5) / (total + 1)
    samples = 1
    while samples < MOST_SAMPLES:
        ranks = _ranks(samples, 1.0, share, tail)
        if ranks is not None:
            lower, upper = ranks
            # The upper bound keeps the limit where at most so many lie above it; the lower breaks it where more do.
            kept = float(bdtr(samples - 1 - upper, samples, above))
            broken = 1 - float(bdtr(samples - 1 - lower, samples, above))
            if max(kept, broken) >= POWER:
                return samples
        samples += max(1, samples // 20)
    return None


def _ranks(samples: int, effect: float, share: float, tail: float) -> tuple[int, int] | None:
    """The places of the bounds among the sorted samples, counted from 0; ``None`` where one lies outside of them."""
    independent = int(samples / effect)
    if independent < 1:
        return None
    # below[k] is the chance that at most k of the independent samples lie below the percentile.
    below = bdtr(np.arange(independent + 1), independent, share)
    lower = int(np.searchsorted(below, tail, side="right")) - 1
    upper = int(np.searchsorted(below, 1 - tail, side="left")) + 1
    if lower < 0 or upper > independent:
        return None
    return int(lower * effect), min(int(np.ceil(upper * effect)), samples) - 1


def _design_effect(groups: Sequence[Sequence[float]], value: float, share: float, tail: float) -> float:
    """How many samples are worth one independent sample."""
    counts = np.array([len(group) for group in groups], dtype=np.float64)
    beyond = np.array([np.count_nonzero(np.asarray(group) > value) for group in groups], dtype=np.float64)
    if len(groups) < 2:
        return 1.0
    # Around what they are on average, since of equal times none or all lie beyond.
    expected: npt.NDArray[np.float64] = counts * beyond.sum() / counts.sum()
    binomial = counts * share * (1 - share)
    scatter = float(np.mean((beyond - expected) ** 2 / binomial)) * len(groups) / (len(groups) - 1)
    # The scatter of few processes is itself not known well: Korn, Graubard, Survey Methodology 24 (1998), 193-201.
    unsure = float(stdtrit(len(groups) - 1, 1 - tail) / ndtri(1 - tail))
    return max(1.0, scatter * unsure**2)
