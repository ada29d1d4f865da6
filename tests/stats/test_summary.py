"""Percentiles follow the rule that ``summarise`` states."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.stats.summary import Summary, summarise

TIMES = st.lists(st.floats(1e-3, 1e4), min_size=1, max_size=30)


def test_positions_between_samples_are_on_the_line_between_them() -> None:
    assert summarise([*range(1, 101)]) == Summary(50.5, pytest.approx(90.1), pytest.approx(99.01))


def test_one_sample_is_all_three() -> None:
    assert summarise([3.0]) == Summary(3.0, 3.0, 3.0)


@given(TIMES)
def test_order_of_samples_does_not_matter_and_of_numbers_does(samples: list[float]) -> None:
    found = summarise(samples)
    assert found == summarise(sorted(samples)[::-1])
    assert min(samples) <= found.median_ms <= found.p90_ms <= found.p99_ms <= max(samples)


@pytest.mark.parametrize("samples", [[], [1.0, np.nan], [np.inf], [[1.0], [2.0]]])
def test_what_is_no_sample_is_refused(samples: list[float]) -> None:
    with pytest.raises(ValueError, match="at least one finite sample"):
        summarise(samples)
