"""The rules of other harnesses, on samples of which their own words say what they do."""

from __future__ import annotations

import numpy as np
import pytest

from hqp.run.selftest import rivals

STEADY = np.random.default_rng(0).normal(1.0, 0.01, 200)
OTHER = np.random.default_rng(1).normal(1.0, 0.01, 200)


@pytest.mark.parametrize(("factor", "alarm"), [(1.0, False), (1.04, False), (1.06, True)])
def test_pytest_benchmark_compares_medians(factor: float, alarm: bool) -> None:
    slow = np.array([1.0, 1.0, 1.0, 50.0, 0.5])
    assert rivals.pytest_benchmark(np.ones(5), factor * slow) is alarm


@pytest.mark.parametrize(("factor", "alarm"), [(1.0, False), (1.04, False), (1.06, True)])
def test_asv_asks_for_a_factor_and_significance(factor: float, alarm: bool) -> None:
    assert rivals.asv(STEADY, factor * OTHER) is alarm
    # A difference beyond the factor that the samples do not tell apart, or are too few to, is none.
    wide = np.random.default_rng(2).normal(1.0, 0.4, 10)
    assert not rivals.asv(wide, 1.06 * np.random.default_rng(2).permutation(wide))
    assert not rivals.asv(np.array([1.0, 1.0]), np.array([9.0, 9.0]))


@pytest.mark.parametrize(("factor", "alarm"), [(1.0, False), (1.005, False), (1.03, True)])
def test_criterion_asks_for_significance_and_more_than_its_noise(factor: float, alarm: bool) -> None:
    assert rivals.criterion(STEADY, factor * OTHER) is alarm


def test_criterion_averages_to_a_hundred_samples() -> None:
    averaged = rivals._averaged(np.arange(250.0))
    assert (len(averaged), averaged[0], averaged[-1]) == (100, 1.0, 248.5)
    assert rivals._averaged(np.arange(5.0)).tolist() == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_criterion_alarms_on_noise_that_a_process_keeps() -> None:
    """Why it is shown: a bias of 2% of one process makes identical code significant, however it came about."""
    assert rivals.criterion(STEADY, 1.02 * OTHER)
