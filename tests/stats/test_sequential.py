"""Boundaries for a median looked at many times: by enumeration of all signs, and by simulation under ugly noise."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, binomtest

from hqp.records import Estimate
from hqp.stats import sequential
from hqp.stats.sequential import Look

VALUES = st.lists(st.floats(-10, 10), min_size=6, max_size=20)


def test_the_looks_of_the_default_plan() -> None:
    looks = sequential.looks(20, 0.05)
    assert looks == (Look(6, 6), Look(9, 8), Look(12, 10), Look(15, 12), Look(18, 14))


def decided(signs: tuple[int, ...] | np.ndarray, looks: tuple[Look, ...]) -> bool:
    """Whether some look finds enough positive signs: written anew, without any chance."""
    return any(sum(sign > 0 for sign in signs[: look.values]) >= look.beyond for look in looks)


@pytest.mark.parametrize(("most", "tail"), [(5, 0.05), (10, 0.05), (13, 0.05), (12, 0.2), (14, 0.01)])
def test_of_all_equally_likely_signs_no_more_decide_than_is_promised(most: int, tail: float) -> None:
    looks = sequential.looks(most, tail)
    wrong = sum(decided(signs, looks) for signs in product((-1, 1), repeat=most)) / 2**most
    assert 0 < wrong <= tail
    assert sequential.power(looks, 0.5) == pytest.approx(wrong, rel=1e-12)


@pytest.mark.parametrize("share", [0.6, 0.9])
def test_power_is_the_chance_of_all_paths_that_decide(share: float) -> None:
    looks = sequential.looks(12, 0.05)
    paths = (signs for signs in product((0, 1), repeat=12) if decided(signs, looks))
    chance = sum(share ** sum(signs) * (1 - share) ** (12 - sum(signs)) for signs in paths)
    assert sequential.power(looks, share) == pytest.approx(chance, rel=1e-12)


def test_the_first_look_is_scipy_s_sign_test_and_spends_no_more_than_its_share() -> None:
    first = sequential.looks(20, 0.05)[0]
    chance = binomtest(first.beyond, first.values, alternative="greater").pvalue
    assert chance == 0.5**6
    assert chance <= 0.05 * math.log(1 + (math.e - 1) * 6 / 20) < binom.sf(4, 6, 0.5)


@given(st.integers(5, 60), st.sampled_from([0.01, 0.025, 0.05, 0.1]))
def test_every_plan_keeps_its_promise_and_its_last_look_is_within_it(most: int, tail: float) -> None:
    looks = sequential.looks(most, tail)
    assert sequential.power(looks, 0.5) <= tail + 1e-9
    assert all(0 < look.beyond <= look.values <= most for look in looks)
    assert all(look.beyond > look.values / 2 for look in looks)


def test_the_fewest_values_that_can_decide() -> None:
    assert sequential.fewest(0.05) == 5
    assert sequential.looks(4, 0.05) == ()
    assert sequential.median([1.0] * 4, 4, 0.05) is None


def test_bounds_are_sorted_values_at_the_last_look_reached() -> None:
    values = [3.0, 1.0, 2.0, 6.0, 5.0, 4.0, 0.0, 9.0, 8.0, 7.0]
    assert sequential.median(values[:5], 20, 0.05) is None
    assert sequential.median(values[:6], 20, 0.05) == Estimate(3.5, 1.0, 6.0, 0.9)
    # The seventh and eighth value wait for the look at nine.
    assert sequential.median(values[:8], 20, 0.05) == Estimate(3.5, 1.0, 6.0, 0.9)
    assert sequential.median(values[:9], 20, 0.05) == Estimate(4.0, 1.0, 8.0, 0.9)


@given(VALUES)
def test_the_interval_decides_as_the_count_of_values_beyond_a_limit(values: list[float]) -> None:
    estimate = sequential.median(values, 20, 0.05)
    assert estimate is not None
    look = [look for look in sequential.looks(20, 0.05) if look.values <= len(values)][-1]
    for limit in {*values, 0.0}:
        seen = np.array(values[: look.values])
        assert (estimate.lower > limit) == (np.count_nonzero(seen > limit) >= look.beyond)
        assert (estimate.upper < limit) == (np.count_nonzero(seen < limit) >= look.beyond)
    assert estimate.lower <= estimate.value <= estimate.upper


@pytest.mark.parametrize("values", [[1.0] * 6 + [math.nan], [math.inf] * 6])
def test_what_has_no_median_is_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite"):
        sequential.median(values, 20, 0.05)


@pytest.mark.parametrize(("most", "tail"), [(0, 0.05), (5, 0.0), (5, 0.5), (5, math.nan)])
def test_what_is_no_plan_is_refused(most: int, tail: float) -> None:
    with pytest.raises(ValueError, match="tail"):
        sequential.looks(most, tail)
