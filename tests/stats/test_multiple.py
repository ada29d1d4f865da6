"""Levels of many verdicts: Holm's procedure, written anew, and by simulation in any order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.stats.multiple import next_level


def holm(p_values: list[float], alpha: float) -> int:
    """How many Holm's procedure rejects: the textbook's step-down over sorted p-values."""
    rejected = 0
    for rank, p_value in enumerate(sorted(p_values)):
        if p_value > alpha / (len(p_values) - rank):
            break
        rejected += 1
    return rejected


@given(st.lists(st.floats(0, 0.2), min_size=1, max_size=12))
def test_in_the_order_of_their_p_values_exactly_holm_s_are_rejected(p_values: list[float]) -> None:
    rejected = 0
    for p_value in sorted(p_values):
        if p_value > next_level(0.05, len(p_values), rejected):
            break
        rejected += 1
    assert rejected == holm(p_values, 0.05)


def test_in_any_order_a_false_alarm_is_as_rare_as_promised() -> None:
    """Twelve tests in random order, of which three are true alarms and nine are not."""
    draw = np.random.default_rng(0)
    false_alarms = 0
    for _ in range(10_000):
        rejected, false = 0, False
        for is_true in draw.permutation([True] * 3 + [False] * 9):
            p_value = draw.random() * (1e-4 if is_true else 1)
            if p_value <= next_level(0.05, 12, rejected):
                rejected += 1
                false = false or not is_true
        false_alarms += false
    assert false_alarms / 10_000 <= 0.055


@pytest.mark.parametrize(("alpha", "tests", "rejected"), [(0.05, 3, 3), (0.05, 0, 0), (0.05, 3, -1), (0.0, 3, 0)])
def test_what_has_no_level_is_refused(alpha: float, tests: int, rejected: int) -> None:
    with pytest.raises(ValueError, match="level"):
        next_level(alpha, tests, rejected)
