"""The interval of a counted share: its promise by enumeration, its numbers by another implementation."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from hqp.stats import proportion


@given(st.integers(1, 3000).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_it_is_the_exact_interval_of_scipy(counts: tuple[int, int]) -> None:
    hits, total = counts
    found, expected = proportion.percent(hits, total, 0.9), binomtest(hits, total).proportion_ci(0.9, "exact")
    assert found.value == 100 * hits / total
    assert (found.lower, found.upper) == pytest.approx((100 * expected.low, 100 * expected.high), abs=1e-9)


@pytest.mark.parametrize("total", [1, 7, 40])
def test_each_bound_misses_at_most_its_tail_whatever_the_true_share(total: int) -> None:
    intervals = [proportion.percent(hits, total, 0.9) for hits in range(total + 1)]
    for share in (0.01, 0.1, 0.5, 0.77, 0.99):
        chances = binom.pmf(range(total + 1), total, share)
        above = sum(chance for chance, found in zip(chances, intervals, strict=True) if found.lower > 100 * share)
        below = sum(chance for chance, found in zip(chances, intervals, strict=True) if found.upper < 100 * share)
        assert max(above, below) <= 0.05


@pytest.mark.parametrize(
    ("hits", "total", "confidence"), [(1, 0, 0.9), (0, 0, 0.9), (3, 2, 0.9), (-1, 2, 0.9), (1, 2, 1)]
)
def test_what_is_no_count_is_refused(hits: int, total: int, confidence: float) -> None:
    with pytest.raises(ValueError):
        proportion.percent(hits, total, confidence)
