"""How far the range of an activation reaches, by each calibration: beyond its threshold values are clipped."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from hqp.compress.quantisation.distribution import BINS, Counts, Distribution
from hqp.records import Calibration, Policy

# The magnitudes of a signed byte.
LEVELS = 128
# By how much the range of all values may exceed that of ``PERCENTILE`` of them before it is told as an outlier's.
OUTLIER = 4.0
# The share that KL may cut off. Of trained networks' activations it cuts at most half a percent (MobileNetV3-Large);
# where nothing lies near zero it sees one spike at any small threshold, finds no divergence, and would cut nearly all.
MOST_CLIPPED = 0.01
# What stays inside of a percentile's threshold. Source: H. Wu et al., "Integer quantization for deep learning
# inference", arXiv 2004.09602 (2020), of whose percentiles it lost least.
PERCENTILE = 0.9999
# Errors and divergences so close, relative and absolute, differ by rounding alone.
TIE = 1e-9

DEFAULT_POLICY = Policy()

Range = tuple[float, float]


def ranges(seen: Mapping[str, Distribution], how: Calibration, policy: Policy = DEFAULT_POLICY) -> dict[str, Range]:
    """The range of each tensor, always with 0 inside: its lowest and highest value, cut at ±T.

    T is for ``minmax`` the largest magnitude, for ``percentile`` what ``PERCENTILE`` of the magnitudes above zero lie
    below, for ``kl`` by ``kl_bins``, for ``mse`` by ``mse_bins``, with each image's errors over its root mean square:
    else the few images on which a gate opens wide would decide how finely all others are told.
    """
    by_tensor = {}
    for name, distribution in seen.items():
        threshold = _threshold(distribution, how, policy)
        by_tensor[name] = max(distribution.low, -threshold), min(distribution.high, threshold)
    return by_tensor


def outliers(seen: Mapping[str, Distribution]) -> dict[str, float]:
    """How many times as wide as that of ``PERCENTILE`` of its values the range of a tensor is, where that is much."""
    whole, cut = ranges(seen, "minmax"), ranges(seen, "percentile")
    widened = {}
    for name in seen:
        width = _width(cut[name])
        if width > 0 and _width(whole[name]) / width > OUTLIER:
            widened[name] = _width(whole[name]) / width
    return widened


def _width(of: Range) -> float:
    low, high = of
    return high - low


def _threshold(seen: Distribution, how: Calibration, policy: Policy) -> float:
    if how == "minmax" or not seen.counts.any():
        return seen.largest
    counts = seen.resampled(seen.relative if how == "mse" else seen.counts)
    levels = _levels(seen, policy)
    if how == "percentile":
        kept = percentile_bins(counts)
    elif how == "mse":
        kept = mse_bins(counts, levels)
    else:
        kept = kl_bins(counts, levels)
    return seen.largest * kept / BINS


def _levels(seen: Distribution, policy: Policy) -> int:
    """How many levels the larger side of a tensor gets: 128 of a signed one, 256 of one that is never negative."""
    if policy.symmetric:
        return LEVELS
    return round(2 * LEVELS * seen.largest / (seen.high - seen.low))


def kl_bins(counts: Counts, levels: int) -> int:
    """How many of the bins to keep so that ``levels`` levels tell most of the distribution, in bits.

    The search of S. Migacz, "8-bit inference with TensorRT" (GTC 2017), at every number i of kept bins from ``levels``
    on: P is the distribution with all beyond bin i added to the last kept bin; Q is the kept part alone, in ``levels``
    groups of bins, each group's mass spread evenly over its bins that are not empty; the i of the least KL(P‖Q) wins,
    of several the greatest, which cuts off least. An i that cuts off more than ``MOST_CLIPPED`` is no candidate. All i
    are computed at once from running sums, since within a group log Q is one number. A last group that is empty before
    values beyond it counts as one value: else an outlier behind a gap could never be cut off.
    """
    mass, filled = _running(counts), _running(counts > 0)
    total = mass[-1]
    kept = np.arange(levels, len(counts) + 1)
    kept = kept[total - mass[kept] <= MOST_CLIPPED * total]
    beyond = total - mass[kept]
    last = counts[kept - 1]

    # Where each group ends, rounded up, for every i: of shape (i, levels + 1).
    ends = kept[:, None] * np.arange(levels + 1)
    edges = -(-ends // levels)
    group_mass = np.diff(mass[edges])
    group_filled = np.diff(filled[edges])
    group_filled[:, -1] += (last == 0) & (beyond > 0)
    density = np.where(group_mass > 0, group_mass, 1) / np.maximum(group_filled, 1)
    total_q = mass[kept] + ((group_mass[:, -1] == 0) & (beyond > 0))

    # From here on the groups are those of P: the last one holds what was cut off.
    group_mass[:, -1] += beyond
    cross_entropy = (group_mass * np.log(density)).sum(axis=1)
    before_last = _running(_x_log_x(counts))[kept - 1]
    entropy = before_last + _x_log_x(last + beyond)
    # KL(P‖Q) less log ∑P, which is the same for every i.
    divergence = (entropy - cross_entropy) / total + np.log(total_q)
    nearest = kept[divergence <= divergence.min() + TIE]
    return int(nearest[-1])


def percentile_bins(counts: Counts) -> int:
    """How many of the bins to keep so that ``PERCENTILE`` of the counts lie in them."""
    wanted = PERCENTILE * counts.sum()
    return int(np.searchsorted(np.cumsum(counts), wanted)) + 1


def mse_bins(counts: Counts, levels: int) -> int:
    """How many of the bins to keep so that the mean squared error of quantisation is least; of several the most.

    With the threshold T the step is T / ``levels``: what lies below is off by a twelfth of its square in the mean, and
    what lies beyond by its distance from T. All T are computed at once from running sums.
    """
    middles = np.arange(len(counts)) + 0.5
    sums = [_running(counts * middles**power) for power in range(3)]
    # The counts beyond each T, and the sums of their values and of the squares of these.
    count, values, squares = (whole[-1] - whole[1:] for whole in sums)
    thresholds = np.arange(1, len(counts) + 1)
    clipped = squares - 2 * thresholds * values + thresholds**2 * count
    inside = counts.sum() - count
    rounded = inside * (thresholds / levels) ** 2 / 12
    error = clipped + rounded
    nearest = thresholds[error <= error.min() * (1 + TIE)]
    return int(nearest[-1])


def _running(values: npt.NDArray[Any]) -> Counts:
    return np.concatenate([[0.0], np.cumsum(values)])


def _x_log_x(values: Counts) -> Counts:
    return values * np.log(np.where(values > 0, values, 1.0))
