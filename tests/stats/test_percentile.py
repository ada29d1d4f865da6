"""The interval of a percentile: by enumeration of how many samples lie below it, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from hqp.stats import percentile


@pytest.mark.parametrize(("samples", "share"), [(300, 0.99), (600, 0.99), (473, 0.99), (59, 0.95), (40, 0.5)])
def test_bounds_are_the_innermost_samples_that_keep_the_promise(samples: int, share: float) -> None:
    """The number of samples below the true percentile is binomial: its every value is counted, with SciPy's numbers."""
    found = percentile.percentile([list(range(samples))], share, 0.9)
    assert found is not None
    lower, upper = int(found.lower), int(found.upper)  # the sample that is k has k below it
    below = np.arange(samples + 1)
    chances = binom.pmf(below, samples, share)
    assert chances[below <= lower].sum() <= 0.05 < chances[below <= lower + 1].sum()
    assert chances[below > upper].sum() <= 0.05 < chances[below > upper - 1].sum()


@pytest.mark.parametrize(("samples", "bounded"), [(0, False), (298, False), (299, True)])
def test_it_takes_299_inferences_to_bound_the_99th_percentile(samples: int, bounded: bool) -> None:
    assert 0.99**299 <= 0.05 < 0.99**298
    assert (percentile.percentile([[1.0] * samples], 0.99, 0.9) is not None) is bounded


def test_processes_that_agree_are_as_many_samples_as_they_have() -> None:
    alike = [[1.0] * 99 + [2.0] for _ in range(6)]
    assert percentile.percentile(alike, 0.99, 0.9) == percentile.percentile([alike[0] * 6], 0.99, 0.9)


def test_slow_inferences_of_one_process_alone_are_few_independent_ones() -> None:
    """All of the slowest sixteen in one of twenty processes: as if there were a sixteenth of the samples or fewer."""
    groups = [[1.0] * 80 for _ in range(19)] + [[1.0] * 64 + [9.0] * 16]
    assert percentile.percentile(groups, 0.99, 0.9) is None
    spread = [[1.0] * 79 + [9.0] for _ in range(16)] + [[1.0] * 80] * 4
    found = percentile.percentile(spread, 0.99, 0.9)
    assert found is not None
    assert (found.lower, found.upper) == (1.0, 9.0)


@pytest.mark.parametrize("bias", [0.0, 0.02, 0.05, 0.1])
def test_each_tail_is_wrong_in_at_most_one_of_eighteen_runs_of_processes_that_differ(bias: float) -> None:
    """Log-normal times; what a process keeps scatters half as much as its inferences, or as much."""
    draw = np.random.default_rng(3)

    def run() -> list[list[float]]:
        factor = np.exp(draw.normal(0, bias, (18, 1)))
        return (factor * np.exp(draw.normal(0, 0.1, (18, 66)))).tolist()

    truth = math.exp(2.3263478740408408 * math.hypot(bias, 0.1))
    estimates = [percentile.percentile(run(), 0.99, 0.9) for _ in range(1000)]
    bounded = [estimate for estimate in estimates if estimate is not None]
    assert len(bounded) > 100
    assert sum(estimate.lower > truth for estimate in bounded) <= 0.055 * len(estimates)
    assert sum(estimate.upper < truth for estimate in bounded) <= 0.055 * len(estimates)


@pytest.mark.parametrize(("beyond", "total", "above"), [(0, 600, 0.5 / 601), (30, 600, 30.5 / 601)])
def test_as_many_samples_as_it_names_decide_in_four_of_five_runs(beyond: int, total: int, above: float) -> None:
    needed = percentile.samples_to_decide(beyond, total, 0.99, 0.05)
    assert needed is not None
    draw = np.random.default_rng(4)
    decided = 0
    for _ in range(300):
        samples = np.where(draw.random(needed) < above, 2.0, 0.0)
        found = percentile.percentile([samples.tolist()], 0.99, 0.9)
        decided += found is not None and not found.lower < 1.0 < found.upper
    # Fewer than 299 bound nothing, however few of them lie beyond: at the smallest number more than four may decide.
    assert decided / 300 >= 0.75
    fewer = percentile.samples_to_decide(beyond + 4, total, 0.99, 0.05)
    assert (fewer is None or fewer > needed) if not beyond else (fewer is not None and fewer <= needed)


@pytest.mark.parametrize(("share", "confidence"), [(0.0, 0.9), (1.0, 0.9), (0.99, 1.0)])
def test_what_is_no_percentile_is_refused(share: float, confidence: float) -> None:
    with pytest.raises(ValueError, match="lie between"):
        percentile.percentile([[1.0]], share, confidence)
    with pytest.raises(ValueError, match="finite"):
        percentile.percentile([[math.inf]], 0.99, 0.9)
