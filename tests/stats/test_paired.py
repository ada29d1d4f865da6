"""Tango's interval, against published values, a grid search of its definition, and exact coverage."""

from __future__ import annotations

import functools
from collections.abc import Callable
from itertools import product
from math import comb, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from hqp.stats.paired import drop_interval, drop_pp, score_interval

Z95 = 1.6448536269514722  # the normal deviate that 5% exceed


@st.composite
def counts(draw: st.DrawFn) -> tuple[int, int, int]:
    total = draw(st.integers(1, 400))
    lost = draw(st.integers(0, total))
    return lost, draw(st.integers(0, total - lost)), total


def hits(lost: int, gained: int, total: int) -> tuple[np.ndarray, np.ndarray]:
    reference, candidate = np.zeros(total, dtype=bool), np.zeros(total, dtype=bool)
    reference[:lost], candidate[lost : lost + gained] = True, True
    return reference, candidate


def test_airway_example_of_fagerland_lydersen_laake_2014() -> None:
    """BMC Medical Research Methodology 14:133: of 21 children 1 changed one way, 7 the other."""
    assert score_interval(1, 7, 21, 0.95) == pytest.approx((-0.517, -0.026), abs=5e-4)


def test_contact_lens_example_of_tango_1998() -> None:
    """44 patients, one discordant pair, 90% interval."""
    assert score_interval(0, 1, 44, 0.90) == pytest.approx((-0.096, 0.037), abs=5e-4)


def test_drop_is_in_points_and_positive_for_a_loss() -> None:
    found = drop_pp(*hits(lost=300, gained=100, total=20_000), 0.9)
    assert found.value == 1.0
    assert 0.8 < found.lower < 1.0 < found.upper < 1.2
    assert (found.lower, found.upper) == tuple(100 * bound for bound in drop_interval(300, 100, 20_000, 0.9))


@pytest.mark.parametrize("total", [1, 2, 100, 20_000])
def test_without_a_discordant_pair_the_bounds_have_a_closed_form(total: int) -> None:
    bound = Z95**2 / (total + Z95**2)
    assert score_interval(0, 0, total, 0.9) == pytest.approx((-bound, bound), rel=1e-9)


@pytest.mark.parametrize("total", [1, 2, 50])
def test_all_lost_has_a_closed_form(total: int) -> None:
    assert score_interval(total, 0, total, 0.9) == pytest.approx(((total - Z95**2) / (total + Z95**2), 1.0), rel=1e-9)


@pytest.mark.parametrize(("lost", "gained", "total"), [(3, 0, 10), (5, 5, 12), (30, 12, 100), (1, 9, 11)])
def test_bounds_are_the_ends_of_what_the_score_test_does_not_reject(lost: int, gained: int, total: int) -> None:
    """The definition without calculus: the chance of a gain is the likeliest on a grid, each difference is tested."""
    kept = []
    for difference in np.arange(-0.9975, 1, 0.0025):
        gain = np.linspace(max(0, -difference), (1 - difference) / 2, 4001)[1:-1]
        same = 1 - difference - 2 * gain
        likelihood = lost * np.log(gain + difference) + gained * np.log(gain) + (total - lost - gained) * np.log(same)
        variance = total * (2 * gain[likelihood.argmax()] + difference - difference**2)
        if abs(lost - gained - total * difference) <= Z95 * sqrt(variance):
            kept.append(difference)
    assert score_interval(lost, gained, total, 0.9) == pytest.approx((kept[0], kept[-1]), abs=0.004)


def coverage(total: int, loss: float, gain: float) -> tuple[float, float]:
    """The chances that the interval lies wholly above and wholly below the true difference, counted over all runs."""
    above = below = 0.0
    for lost in range(total + 1):
        for gained in range(total + 1 - lost):
            chance = comb(total, lost) * comb(total - lost, gained) * loss**lost * gain**gained
            chance *= (1 - loss - gain) ** (total - lost - gained)
            lower, upper = INTERVALS[total][lost, gained]
            above, below = above + chance * (lower > loss - gain), below + chance * (upper < loss - gain)
    return above, below


INTERVALS: dict[int, dict[tuple[int, int], tuple[float, float]]] = {}


@pytest.mark.parametrize("total", [10, 30])
def test_coverage_by_counting_every_run(total: int) -> None:
    """Nominal 5% a side: on the mean over the chances at most that, and nowhere far from it."""
    INTERVALS[total] = {
        (lost, gained): score_interval(lost, gained, total, 0.9)
        for lost in range(total + 1)
        for gained in range(total + 1 - lost)
    }
    sides = [coverage(total, loss, gain) for loss, gain in product((0.02, 0.05, 0.1, 0.2, 0.3), repeat=2)]
    assert np.mean(sides) <= 0.05
    assert np.max(sides) <= 0.09
    assert np.max(np.sum(sides, axis=1)) <= 0.14


Bounds = Callable[[float, float, float, float], tuple[float, float]]
# How many images are lost and gained on the mean of runs: few, where the bounds are worst, and more.
LOST = (0.05, 0.3, 0.9, 1.0, 1.5, 2.0, 3.0, 5.0, 8.0, 12.0, 20.0, 45.0, 57.0, 97.0)
GAINED = (0.0, 0.1, 0.5, 1.0, 2.0, 4.0, 8.0, 60.0)


def worst_miss(bounds: Bounds, total: int) -> float:
    """The highest chance, over true shares of lost and gained images, that the upper bound at 95% is below the truth.

    Each is counted over all runs: the chances of all pairs of counts whose upper bound is below are added up.
    """
    upper = functools.cache(lambda lost, gained: bounds(lost, gained, total, 0.9)[1])
    return max(_miss(upper, total, lost / total, gained / total) for lost, gained in product(LOST, GAINED))


def _miss(upper: Callable[[int, int], float], total: int, loss: float, gain: float) -> float:
    missed, most_lost = 0.0, -1
    # Beyond it lie runs of a chance of 1e-9 in all.
    for gained in range(int(binom.isf(1e-9, total, gain)) + 2):
        # The more images are gained, the more may be lost with the bound still below.
        while most_lost + gained < total and upper(most_lost + 1, gained) < loss - gain:
            most_lost += 1
        missed += binom.pmf(gained, total, gain) * binom.cdf(most_lost, total - gained, loss / (1 - gain))
    return missed


@pytest.mark.parametrize("total", [500, 5000])
def test_with_half_an_image_more_no_limit_of_a_drop_is_missed_too_often(total: int) -> None:
    """By enumeration, one-sided at 95%; Tango's bound alone breaks its promise where few images differ."""
    assert worst_miss(score_interval, total) > 0.09
    assert 0.04 < worst_miss(drop_interval, total) <= 0.05


@given(counts())
def test_half_an_image_costs_less_than_one(found: tuple[int, int, int]) -> None:
    lost, gained, total = found
    lower, upper = drop_interval(lost, gained, total, 0.9)
    assert upper >= score_interval(lost, gained, total, 0.9)[1]
    assert upper <= score_interval(lost + 1, gained, total + 1, 0.9)[1]
    assert (lower, upper) == tuple(-bound for bound in reversed(drop_interval(gained, lost, total, 0.9)))


@given(counts(), st.floats(0.1, 0.999))
def test_the_interval_holds_the_estimate_and_is_of_differences(found: tuple[int, int, int], confidence: float) -> None:
    lost, gained, total = found
    lower, upper = drop_interval(lost, gained, total, confidence)
    assert -1 <= lower <= (lost - gained) / total <= upper <= 1


@given(counts(), st.floats(0.1, 0.999), st.floats(0.1, 0.999))
def test_more_confidence_is_never_narrower(found: tuple[int, int, int], one: float, other: float) -> None:
    narrow, wide = score_interval(*found, min(one, other)), score_interval(*found, max(one, other))
    assert wide[0] <= narrow[0] + 1e-12
    assert narrow[1] <= wide[1] + 1e-12


@given(counts())
def test_swapping_the_sides_turns_the_sign(found: tuple[int, int, int]) -> None:
    reference, candidate = hits(*found)
    one, other = drop_pp(reference, candidate, 0.9), drop_pp(candidate, reference, 0.9)
    assert (one.value, one.lower, one.upper) == (-other.value, -other.upper, -other.lower)


@pytest.mark.parametrize(("mine", "theirs"), [(3, 4), (0, 0)])
def test_what_does_not_pair_is_refused(mine: int, theirs: int) -> None:
    with pytest.raises(ValueError, match="do not pair"):
        drop_pp(np.ones(mine, dtype=bool), np.ones(theirs, dtype=bool), 0.9)


def test_what_is_no_confidence_is_refused() -> None:
    with pytest.raises(ValueError, match="confidence"):
        score_interval(1, 1, 10, 90)
