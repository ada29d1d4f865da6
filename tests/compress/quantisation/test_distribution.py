"""What is kept of a tensor: every value in its bin, once, in any order, and memory that does not grow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hqp.compress.quantisation.distribution import BINS, Distribution

finite = st.floats(-(2.0**20), 2.0**20, width=32)
arrays = st.lists(st.lists(finite, min_size=1, max_size=20), min_size=1, max_size=6)


def distribution(parts: list[list[float]]) -> Distribution:
    seen = Distribution("x")
    for part in parts:
        seen.add(np.array(part, np.float32))
    return seen


@given(arrays)
def test_every_value_that_is_not_zero_is_counted_once(parts: list[list[float]]) -> None:
    seen, values = distribution(parts), np.concatenate(parts)
    assert seen.counts.sum() == np.count_nonzero(values)
    assert (seen.counts >= 0).all()
    if seen.largest > 0:
        assert seen.resampled(seen.counts).sum() == pytest.approx(np.count_nonzero(values))


@given(arrays)
@example([[0.0], [0.25]])
def test_the_histogram_does_not_depend_on_the_order(parts: list[list[float]]) -> None:
    one, other = distribution(parts), distribution(parts[::-1])
    assert (one.low, one.high, one.exponent) == (other.low, other.high, other.exponent)
    assert (one.counts == other.counts).all()
    assert (one.relative == other.relative).all()


def test_what_is_kept_has_one_size_whatever_was_seen() -> None:
    small, large = distribution([[1.0]]), distribution([list(map(float, range(1000)))] * 50)
    assert small.counts.nbytes == large.counts.nbytes == BINS * 4 * 8
    assert set(vars(large)) == {"name", "low", "high", "exponent", "zeros", "counts", "relative"}


def test_the_mean_square_is_of_all_values_zeros_among_them() -> None:
    seen = distribution([[0.0, 0.0], [3.0, -4.0], [0.0, 5.0]])
    assert seen.mean_square == pytest.approx((9 + 16 + 25) / 6, rel=1e-3)


def test_each_value_lies_in_its_bin() -> None:
    seen = distribution([[0.001, -0.3], [0.0, 5.0, -7.9]])  # the largest magnitude is below 8
    width = 8 / len(seen.counts)
    assert sorted(np.flatnonzero(seen.counts)) == sorted(int(value / width) for value in (0.001, 0.3, 5.0, 7.9))


def test_of_a_large_tensor_a_share_is_counted_that_meets_every_column_and_its_extremes_are_of_all() -> None:
    width = 256
    columns = np.tile(np.arange(1, width + 1, dtype=np.float32), (width, 1))
    columns[0, 1] = 1000.0  # beside what is counted
    seen = Distribution("x")
    seen.add(columns)
    stride = 17  # 65,536 values over 4,096, made odd
    assert seen.counts.sum() == -(-columns.size // stride)
    assert (seen.low, seen.high) == (0.0, 1000.0)
    met = np.unique(columns.ravel()[::stride])
    assert len(np.setdiff1d(np.arange(1, width + 1), met)) == 0


def test_an_image_counts_over_its_root_mean_square() -> None:
    seen = distribution([[0.5, -0.5], [6.0, 0.0, 6.0, 0.0], [0.0, 0.0]])  # of 0.5, 4.2 and 0
    width = 8 / len(seen.counts)
    low, high = int(0.5 / width), int(6.0 / width)
    assert (seen.counts[low], seen.counts[high]) == (2, 2)
    assert (seen.relative[low], seen.relative[high]) == (2, 2 / 8)
    assert np.flatnonzero(seen.relative).tolist() == [low, high]
