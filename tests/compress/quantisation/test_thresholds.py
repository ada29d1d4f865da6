"""Thresholds: KL and least squares against their definitions, and what each calibration keeps."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hqp.compress.quantisation import thresholds
from hqp.compress.quantisation.distribution import BINS, Distribution
from hqp.compress.quantisation.thresholds import (
    LEVELS,
    MOST_CLIPPED,
    PERCENTILE,
    kl_bins,
    mse_bins,
    percentile_bins,
)


def distribution(parts: list[list[float]]) -> Distribution:
    seen = Distribution("x")
    for part in parts:
        seen.add(np.array(part, np.float32))
    return seen


def kl_bins_by_definition(counts: npt.NDArray[np.float64], levels: int) -> int:
    found = []
    for kept in range(levels, len(counts) + 1):
        if counts[kept:].sum() > MOST_CLIPPED * counts.sum():
            continue
        reference = counts[:kept].copy()
        reference[-1] += counts[kept:].sum()
        group = np.arange(kept) * levels // kept
        filled = np.bincount(group, reference > 0, minlength=levels)
        mass = np.bincount(group, counts[:kept], minlength=levels)
        if mass[-1] == 0 and reference[-1] > 0:
            mass[-1] = 1
        candidate = np.where(reference > 0, mass[group] / np.maximum(filled[group], 1), 0)
        p, q = reference / reference.sum(), candidate / candidate.sum()
        used = p > 0
        divergence = float((p[used] * np.log(p[used] / q[used])).sum())
        found.append((divergence, kept))
    return max(kept for divergence, kept in found if divergence <= min(found)[0] + 1e-9)


@settings(max_examples=40, deadline=None)
@example([0] * 10 + [2, 2], 2)
@example([0, 0, 5000, 0, 0, 0, 1, 1, 0, 0, 0, 0], 2)
@given(st.lists(st.sampled_from([0, 0, 1, 2, 3, 10, 100, 5000]), min_size=12, max_size=60), st.integers(2, 12))
def test_the_threshold_is_the_one_of_the_definition(counts: list[int], levels: int) -> None:
    histogram = np.array(counts, float)
    histogram[-1] += 1  # the largest value lies in the last bin
    got, expected = kl_bins(histogram, levels), kl_bins_by_definition(histogram, levels)
    assert got == expected


def test_a_uniform_distribution_is_not_cut() -> None:
    assert kl_bins(np.ones(BINS), LEVELS) == BINS


def test_the_tail_of_a_normal_distribution_is_cut() -> None:
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    values[0] = 40
    seen = distribution([values.tolist()])
    assert 2.5 < seen.largest * kl_bins(seen.resampled(seen.counts), LEVELS) / BINS < 6


@pytest.mark.parametrize("low", [0.05, 0.13, 0.25, 0.5, 0.9])
def test_an_activation_that_keeps_clear_of_zero_is_not_cut_away(low: float) -> None:
    counts, _ = np.histogram(np.random.default_rng(0).uniform(low, 1, 200_000), BINS, (0, 1))
    kept = kl_bins(counts.astype(float), 2 * LEVELS)
    assert counts[kept:].sum() <= MOST_CLIPPED * counts.sum()
    assert kept > 0.99 * BINS


def test_a_spike_away_from_zero_is_no_place_to_cut() -> None:
    values = np.maximum(np.random.default_rng(0).standard_normal(200_000), 0) + 1.5  # half of them are 1.5
    seen = distribution([values.tolist()])
    assert thresholds.ranges({"x": seen}, "kl")["x"][1] > 3.8


def mse_bins_by_definition(counts: npt.NDArray[np.float64], levels: int) -> int:
    errors = []
    for kept in range(1, len(counts) + 1):
        step = kept / levels
        inside = counts[:kept].sum() * step**2 / 12
        beyond = sum(counts[place] * (place + 0.5 - kept) ** 2 for place in range(kept, len(counts)))
        errors.append(inside + beyond)
    return max(kept for kept, error in enumerate(errors, 1) if error <= min(errors) * (1 + 1e-9))


@given(st.lists(st.integers(0, 1000), min_size=8, max_size=40).filter(any), st.sampled_from([4, 16, 128]))
def test_the_threshold_of_least_squares_is_the_one_of_the_definition(counts: list[int], levels: int) -> None:
    given = np.array(counts, np.float64)
    assert mse_bins(given, levels) == mse_bins_by_definition(given, levels)


def test_by_least_squares_an_image_far_above_all_others_counts_no_more_for_that() -> None:
    """As where a gate opens wide: to hold it whole takes levels from all others."""
    draw = np.random.default_rng(0)
    seen = Distribution("x")
    for scale in [1] * 99 + [30]:
        seen.add(scale * draw.standard_normal(1000).astype(np.float32))
    threshold = thresholds.ranges({"x": seen}, "mse")["x"][1]
    seen.relative = seen.counts
    all_alike = thresholds.ranges({"x": seen}, "mse")["x"][1]
    assert threshold < 0.7 * all_alike


def test_an_outlier_is_told_by_how_much_it_widens_the_range() -> None:
    even, far = Distribution("even"), Distribution("far")
    even.add(np.linspace(0, 1, 4096, dtype=np.float32))
    for _ in range(5):
        far.add(np.linspace(0, 1, 4096, dtype=np.float32))
    far.add(np.array([8.0], np.float32))
    found = thresholds.outliers({"even": even, "far": far})
    assert list(found) == ["far"] and found["far"] == pytest.approx(8, rel=0.02)


def test_a_percentile_keeps_its_share_and_not_one_bin_more() -> None:
    counts = np.ones(BINS)
    assert percentile_bins(counts) == BINS
    counts[:] = 0
    counts[[3, 1000, BINS - 1]] = 1e6, 150, 50
    share = 1 - PERCENTILE
    assert 50 / counts.sum() < share < 200 / counts.sum()
    assert percentile_bins(counts) == 1001


def test_minmax_cuts_nothing_percentile_a_share_and_all_hold_zero() -> None:
    values = np.concatenate([np.full(99_990, 1.0), np.full(9, 8.0), [-100.0]])
    seen = {"x": distribution([values.tolist()])}
    assert thresholds.ranges(seen, "minmax")["x"] == (-100.0, 8.0)
    low, high = thresholds.ranges(seen, "percentile")["x"]
    assert low == -high and 1.0 < high < 1.1
