"""The interval of a ratio, against SciPy's test and by exact enumeration of what chance can do."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import wilcoxon

from hqp.stats.signed_rank import block_ratio, fewest_blocks

RATIOS = st.lists(st.floats(0.1, 10), min_size=5, max_size=25)


def blocks(ratios: list[float] | np.ndarray) -> list[list[float]]:
    return [[float(ratio)] for ratio in ratios]


def ones(count: int) -> list[list[float]]:
    return [[1.0]] * count


def test_the_ratio_is_reference_over_candidate() -> None:
    found = block_ratio([[4.0, 5.0, 90.0]] * 20, [[2.0]] * 20, 0.9)
    assert found is not None
    assert (found.value, found.lower, found.upper, found.confidence) == (2.5, 2.5, 2.5, 0.9)


def test_drift_between_blocks_cancels() -> None:
    drift = np.linspace(1, 3, 20)
    found = block_ratio(blocks(3 * drift), blocks(drift), 0.9)
    assert found is not None
    assert (found.value, found.lower, found.upper) == pytest.approx((3, 3, 3), rel=1e-15)


def test_five_blocks_give_their_extremes() -> None:
    found = block_ratio(blocks([1, 2, 4, 8, 16]), ones(5), 0.9)
    assert found is not None
    assert (found.value, found.lower, found.upper) == (4.0, 1.0, 16.0)


def test_twenty_blocks_leave_out_sixty_pairwise_means_a_side() -> None:
    """The 5% point of the signed-rank statistic of 20 is 60 in every printed table."""
    ratios = np.random.default_rng(0).lognormal(0, 0.1, 20)
    found = block_ratio(blocks(ratios), ones(20), 0.9)
    means = sorted(np.sqrt(ratios[i] * ratios[j]) for i in range(20) for j in range(i, 20))
    assert found is not None
    assert (found.lower, found.upper) == pytest.approx((means[60], means[-61]), rel=1e-12)


@pytest.mark.parametrize(("confidence", "fewest"), [(0.5, 2), (0.9, 5), (0.95, 6), (0.99, 8)])
def test_fewer_blocks_bound_nothing(confidence: float, fewest: int) -> None:
    assert fewest_blocks(confidence) == fewest
    assert block_ratio(ones(fewest), ones(fewest), confidence) is not None
    assert block_ratio(ones(fewest - 1), ones(fewest - 1), confidence) is None
    assert block_ratio([], [], confidence) is None


@pytest.mark.parametrize("count", [5, 9, 20])
def test_a_bound_is_where_the_exact_test_of_scipy_begins_to_reject(count: int) -> None:
    ratios = np.random.default_rng(count).lognormal(0.5, 0.3, count)
    found = block_ratio(blocks(ratios), ones(count), 0.9)
    assert found is not None
    for bound, side, outwards in ((found.lower, "greater", -1e-9), (found.upper, "less", 1e-9)):
        beyond = wilcoxon(np.log(ratios) - np.log(bound) - outwards, alternative=side, method="exact")
        within = wilcoxon(np.log(ratios) - np.log(bound) + outwards, alternative=side, method="exact")
        assert beyond.pvalue <= 0.05 < within.pvalue


@pytest.mark.parametrize("count", [5, 8, 10])
def test_each_side_misses_in_at_most_one_of_twenty_of_all_equally_likely_runs(count: int) -> None:
    """Symmetric noise around 1: every pattern of signs is as likely as any other, so all are counted."""
    sizes = np.random.default_rng(count).exponential(size=count) * np.where(np.arange(count) == 2, 30, 1)
    missed = 0
    for signs in product((-1, 1), repeat=count):
        found = block_ratio(blocks(np.exp(sizes * signs)), ones(count), 0.9)
        assert found is not None
        missed += found.lower > 1
    assert 0 < missed / 2**count <= 0.05


@given(RATIOS, st.floats(0.05, 0.9))
def test_the_interval_holds_the_estimate_within_the_data(ratios: list[float], confidence: float) -> None:
    found = block_ratio(blocks(ratios), ones(len(ratios)), confidence)
    assert found is not None
    slack = 1 + 1e-12
    assert min(ratios) <= found.lower * slack
    assert found.lower <= found.value * slack
    assert found.value <= found.upper * slack
    assert found.upper <= max(ratios) * slack


@given(RATIOS, st.floats(0.05, 0.9), st.floats(0.05, 0.9))
def test_more_confidence_is_never_narrower(ratios: list[float], one: float, other: float) -> None:
    narrow = block_ratio(blocks(ratios), ones(len(ratios)), min(one, other))
    wide = block_ratio(blocks(ratios), ones(len(ratios)), max(one, other))
    assert narrow is not None
    assert wide is not None
    assert wide.lower <= narrow.lower
    assert narrow.upper <= wide.upper


@given(RATIOS)
def test_swapping_the_arms_inverts_the_ratio(ratios: list[float]) -> None:
    one = block_ratio(blocks(ratios), ones(len(ratios)), 0.9)
    other = block_ratio(ones(len(ratios)), blocks(ratios), 0.9)
    assert one is not None
    assert other is not None
    assert (other.value, other.lower, other.upper) == pytest.approx((1 / one.value, 1 / one.upper, 1 / one.lower))


@pytest.mark.parametrize(
    ("reference", "candidate"),
    [([[1.0]] * 5, [[1.0]] * 6), ([[]] * 5, [[1.0]] * 5), ([[0.0]] * 5, [[1.0]] * 5), ([[np.nan]] * 5, [[1.0]] * 5)],
)
def test_what_are_no_paired_blocks_is_refused(reference: list[list[float]], candidate: list[list[float]]) -> None:
    with pytest.raises(ValueError, match="block"):
        block_ratio(reference, candidate, 0.9)


@pytest.mark.parametrize("confidence", [0.0, 1.0, 90.0])
def test_what_is_no_confidence_is_refused(confidence: float) -> None:
    with pytest.raises(ValueError, match="confidence"):
        block_ratio(ones(9), ones(9), confidence)
