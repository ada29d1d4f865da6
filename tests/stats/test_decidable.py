"""How many processes decide, and how small a difference is found: by simulation of runs anew."""

from __future__ import annotations

import numpy as np
import pytest

from hqp.stats import decidable, sequential

TAIL = 0.05


def decides(draw: np.random.Generator, most: int, truth: float, limit: float, runs: int) -> float:
    """The share of runs of ``most`` processes that some look decides."""
    values = draw.normal(truth, 1.0, (runs, most))
    done = np.zeros(runs, dtype=bool)
    for look in sequential.looks(most, TAIL):
        seen = np.sort(values[:, : look.values], axis=1)
        done |= (seen[:, look.values - look.beyond] > limit) | (seen[:, look.beyond - 1] < limit)
    return float(done.mean())


@pytest.mark.parametrize("gap", [0.4, 0.8, 1.5])
def test_four_of_five_runs_anew_decide_with_the_number_that_is_named(gap: float) -> None:
    """The first run is a random one, of 18 processes; the run anew is another, of as many as the first one named."""
    draw = np.random.default_rng(1)
    shares, named = [], 0
    for _ in range(120):
        first = draw.normal(0, 1, 18)
        most = decidable.processes_to_decide(first, gap, TAIL)
        if most is not None:
            named += 1
            shares.append(decides(draw, most, 0.0, gap, 40))
    # Where the first run lies next to the limit, it names none.
    assert named >= 70
    assert 0.75 <= np.mean(shares) <= 0.97


def test_without_scatter_the_fewest_decide_and_on_the_limit_none_do() -> None:
    assert decidable.processes_to_decide([1.0] * 6, 2.0, TAIL) == sequential.fewest(TAIL)
    assert decidable.processes_to_decide([1.0] * 6, 1.0, TAIL) is None
    assert decidable.processes_to_decide(np.arange(200.0), 99.6, TAIL) is None


@pytest.mark.parametrize("most", [10, 20, 40])
def test_what_is_detectable_is_found_in_four_of_five_runs(most: int) -> None:
    """Values of a spread of exactly 1 scale the answer; a difference of that size is then simulated."""
    values = np.array([-1.0, 1.0]) / np.sqrt(2)
    smallest = decidable.detectable(values, most, TAIL)
    assert decidable.detectable(3 * values, most, TAIL) == pytest.approx(3 * smallest)
    draw = np.random.default_rng(2)
    truths = draw.normal(smallest, 1.0, (20_000, most))
    found = np.zeros(len(truths), dtype=bool)
    for look in sequential.looks(most, TAIL):
        found |= np.count_nonzero(truths[:, : look.values] > 0, axis=1) >= look.beyond
    assert found.mean() == pytest.approx(0.8, abs=0.01)
