"""The interval of a median: exact by enumeration of coins, silent where values are too few."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hqp.records import Estimate
from hqp.stats import median, noninferiority, signed_rank


@pytest.mark.parametrize(("count", "lower", "upper"), [(5, 0, 4), (7, 0, 6), (8, 1, 6), (15, 3, 11), (20, 5, 14)])
def test_bounds_are_the_innermost_values_that_keep_the_promise(count: int, lower: int, upper: int) -> None:
    values = list(range(count))[::-1]
    assert median.median(values, 0.9) == Estimate((count - 1) / 2, lower, upper, 0.9)


@pytest.mark.parametrize("count", [5, 8, 12])
def test_each_side_misses_in_at_most_one_of_twenty(count: int) -> None:
    """Each value lies on either side of the true median, 0, with equal chance: all sign patterns are enumerated."""
    missed = 0
    for signs in itertools.product((-1, 1), repeat=count):
        found = median.median([sign * (1 + place) for place, sign in enumerate(signs)], 0.9)
        assert found is not None
        missed += found.lower > 0
    assert 0 < missed / 2**count <= 0.05


def test_fewer_values_than_a_ratio_takes_have_no_interval() -> None:
    fewest = signed_rank.fewest_blocks(noninferiority.CONFIDENCE)
    assert [median.median([1.0] * count, 0.9) is None for count in (0, fewest - 1, fewest)] == [True, True, False]


@pytest.mark.parametrize(("values", "confidence"), [([1.0, np.nan], 0.9), ([1.0, np.inf], 0.9), ([1.0] * 9, 0.0)])
def test_what_has_no_median_is_refused(values: list[float], confidence: float) -> None:
    with pytest.raises(ValueError):
        median.median(values, confidence)
