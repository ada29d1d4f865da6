"""How many samples free an interval of a limit."""

from __future__ import annotations

import pytest

from hqp.records import Estimate
from hqp.stats.power import samples_to_decide
from hqp.stats.proportion import percent


@pytest.mark.parametrize(
    ("limit", "samples"),
    [(1.05, 80), (1.1, 20), (1.3, 20), (0.95, 180), (1.0, None), (1.001, None), (0.4, 20), (1.042, 120)],
)
def test_twice_as_near_takes_four_times_as_many(limit: float, samples: int | None) -> None:
    assert samples_to_decide(Estimate(1.0, 0.85, 1.1, 0.9), limit, 20) == samples


def test_the_number_it_names_decides_for_the_same_share() -> None:
    few = percent(90, 100, 0.9)
    assert few.lower < 87
    needed = samples_to_decide(few, 87, 100)
    assert needed is not None
    assert percent(needed * 9 // 10, needed, 0.9).lower > 86.5
