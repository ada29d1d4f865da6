"""The quotient of independent estimates: exact where nothing scatters, and as wide as simulation says."""

from __future__ import annotations

from math import exp

import numpy as np
import pytest

from hqp.records import Estimate
from hqp.stats.independent import quotient

NORMAL_95 = 1.6448536269514722  # the two-sided 90% interval in standard deviations


def test_estimates_without_scatter_divide_exactly() -> None:
    assert quotient(Estimate(6.0, 6.0, 6.0, 0.9), Estimate(2.0, 2.0, 2.0, 0.9)) == Estimate(3.0, 3.0, 3.0, 0.9)


def test_one_sided_scatter_stays_on_its_side() -> None:
    found = quotient(Estimate(6.0, 3.0, 6.0, 0.9), Estimate(2.0, 2.0, 2.0, 0.9))
    assert (found.lower, found.upper) == (pytest.approx(1.5), 3.0)
    found = quotient(Estimate(6.0, 6.0, 6.0, 0.9), Estimate(2.0, 1.0, 2.0, 0.9))
    assert (found.lower, found.upper) == (3.0, pytest.approx(6.0))


def test_of_normal_logarithms_each_side_misses_in_a_twentieth() -> None:
    draw = np.random.default_rng(0)
    spreads, runs, truth = (0.05, 0.02), 20_000, 1.5
    logs = draw.normal(0.0, spreads, (runs, 2))

    def estimate(centre: float, spread: float) -> Estimate:
        reach = NORMAL_95 * spread
        return Estimate(exp(centre), exp(centre - reach), exp(centre + reach), 0.9)

    found = [
        quotient(estimate(np.log(truth) + first, spreads[0]), estimate(second, spreads[1])) for first, second in logs
    ]
    below = sum(one.upper < truth for one in found) / runs
    above = sum(one.lower > truth for one in found) / runs
    assert below == pytest.approx(0.05, abs=0.005) and above == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(
    "other", (Estimate(1.0, 0.0, 2.0, 0.9), Estimate(1.0, 0.5, 2.0, 0.95)), ids=("a bound of 0", "confidence")
)
def test_what_has_no_quotient_is_refused(other: Estimate) -> None:
    with pytest.raises(ValueError, match="one confidence, with bounds above 0"):
        quotient(Estimate(1.0, 0.9, 1.1, 0.9), other)
