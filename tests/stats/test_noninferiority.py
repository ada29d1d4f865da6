"""An interval against a limit has three outcomes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.records import Estimate
from hqp.stats.noninferiority import at_least, at_most


@pytest.mark.parametrize(
    ("limit", "most", "least"),
    [
        (0.9, "fail", "pass"),
        (1.0, "inconclusive", "pass"),
        (1.5, "inconclusive", "inconclusive"),
        (2.0, "pass", "inconclusive"),
        (2.1, "pass", "fail"),
    ],
)
def test_an_interval_of_1_to_2(limit: float, most: str, least: str) -> None:
    estimate = Estimate(1.4, 1.0, 2.0, 0.9)
    assert (at_most(estimate, limit), at_least(estimate, limit)) == (most, least)


@given(st.tuples(*[st.floats(-10, 10)] * 3), st.floats(-10, 10))
def test_the_two_mirror_each_other(numbers: tuple[float, float, float], limit: float) -> None:
    lower, value, upper = sorted(numbers)
    mirrored = Estimate(-value, -upper, -lower, 0.9)
    assert at_most(Estimate(value, lower, upper, 0.9), limit) == at_least(mirrored, -limit)
