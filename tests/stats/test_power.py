"""How many samples free an interval of a limit."""

from __future__ import annotations

import pytest

from hqp.records import Estimate
from hqp.stats.power import samples_to_decide
from hqp.stats.signed_rank import block_ratio


@pytest.mark.parametrize(
    ("limit", "samples"),
    [(1.05, 80), (1.1, 20), (1.3, 20), (0.95, 180), (1.0, None), (1.001, None), (0.4, 20), (1.042, 120)],
)
def test_twice_as_near_takes_four_times_as_many(limit: float, samples: int | None) -> None:
    assert samples_to_decide(Estimate(1.0, 0.85, 1.1, 0.9), limit, 20) == samples


def test_the_number_it_names_decides_for_equal_noise() -> None:
    noise = [[1 + 0.04 * (k % 5 - 2)] for k in range(400)]
    few = block_ratio(noise[:20], [[1.0]] * 20, 0.9)
    assert few is not None
    assert few.upper > 1.01
    needed = samples_to_decide(few, 1.01, 20)
    assert needed is not None
    many = block_ratio(noise[:needed], [[1.0]] * needed, 0.9)
    assert many is not None
    assert many.upper < 1.015
