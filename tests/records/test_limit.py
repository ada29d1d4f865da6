"""A number of a suite lies in its range, or is refused with the range and its reason."""

from __future__ import annotations

import pytest

from hqp.errors import HqpError
from hqp.records import Limit

SHARE = Limit(0.5, 1_000, "times as fast")
COUNT = Limit(1, 10, "rounds", whole=True)


@pytest.mark.parametrize(("limit", "value"), [(SHARE, 0.5), (SHARE, 1_000), (SHARE, 3), (COUNT, 1), (COUNT, 10)])
def test_both_ends_are_in_the_range(limit: Limit, value: float) -> None:
    limit.require("it", value)


@pytest.mark.parametrize("value", [0.49, 1_000.1, float("nan"), float("inf"), True, "3", None])
def test_what_is_beyond_or_no_number_is_refused(value: object) -> None:
    with pytest.raises(HqpError) as refused:
        SHARE.require("min_ratio", value)
    assert str(refused.value) == f"min_ratio is {value!r}; a number from 0.5 to 1,000: times as fast"


@pytest.mark.parametrize("value", [0, 11, 2.0, False])
def test_a_whole_number_has_no_fraction(value: object) -> None:
    with pytest.raises(HqpError, match=r"rounds is .*; a whole number from 1 to 10: rounds"):
        COUNT.require("rounds", value)
