"""The same samples judged as three other harnesses do, each by its own rule, at its own or at our threshold.

Each takes the samples of two runs, whatever process or session they are of: that is all these harnesses keep.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
from scipy.special import comb
from scipy.stats import mannwhitneyu

Samples = npt.NDArray[np.float64]
Rule = Callable[[Samples, Samples], bool]

# --benchmark-compare-fail=median:5%
PYTEST_BENCHMARK_SHARE = 0.05
# asv continuous --factor 1.05, beside its own threshold of significance (asv/statistics.py, is_different).
ASV_FACTOR, ASV_P = 1.05, 0.002
# Of criterion.rs: significance_level, noise_threshold, confidence_level, sample_size; of its 100,000 resamples, 4,000.
CRITERION_P, CRITERION_NOISE, CRITERION_CONFIDENCE, CRITERION_SAMPLES, RESAMPLES = 0.05, 0.01, 0.95, 100, 4000


def pytest_benchmark(old: Samples, new: Samples) -> bool:
    """Whether the median is more than 5% above that of the run before (its ``PercentageRegressionCheck``)."""
    return bool(np.median(new) / np.median(old) - 1 > PYTEST_BENCHMARK_SHARE)


def asv(old: Samples, new: Samples) -> bool:
    """Whether a Mann-Whitney test tells the runs apart and the median is beyond the factor."""
    can_tell = 1 / comb(len(old) + len(new), min(len(old), len(new))) < ASV_P
    differ = can_tell and mannwhitneyu(old, new, alternative="two-sided").pvalue < ASV_P
    return bool(differ and np.median(new) > ASV_FACTOR * np.median(old))


def criterion(old: Samples, new: Samples) -> bool:
    """Whether a bootstrapped t-test is significant and the change of the mean is above the noise threshold."""
    draw = np.random.default_rng(0)
    old, new = _averaged(old), _averaged(new)
    pooled = np.concatenate([old, new])
    mixed = [draw.choice(pooled, (RESAMPLES, len(side))) for side in (old, new)]
    unlike = np.abs(_t(*mixed)) > abs(_t(old[np.newaxis], new[np.newaxis])[0])
    means = [draw.choice(side, (RESAMPLES, len(side))).mean(axis=1) for side in (old, new)]
    lower = np.quantile(means[1] / means[0] - 1, (1 - CRITERION_CONFIDENCE) / 2)
    return bool(unlike.mean() < CRITERION_P and lower > CRITERION_NOISE)


def _averaged(samples: Samples) -> Samples:
    """At most 100 samples, each the mean of as many inferences that followed each other."""
    parts = np.array_split(samples, min(len(samples), CRITERION_SAMPLES))
    return np.array([part.mean() for part in parts])


def _t(old: Samples, new: Samples) -> Samples:
    """Welch's t of each row."""
    spread = np.sqrt(old.var(axis=1, ddof=1) / old.shape[1] + new.var(axis=1, ddof=1) / new.shape[1])
    difference: Samples = (new.mean(axis=1) - old.mean(axis=1)) / np.maximum(spread, np.finfo(float).tiny)
    return difference


RULES: Mapping[str, Rule] = {
    "pytest-benchmark, median:5%": pytest_benchmark,
    "asv, factor 1.05": asv,
    "criterion, its defaults": criterion,
}
