"""When measuring ends."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.measure.stopping import Stopping, is_narrow
from hqp.records import PairedLatency

MakeLatency = Callable[..., PairedLatency]


def test_it_asks_only_at_planned_looks_and_ends_at_the_last(make_latency: MakeLatency) -> None:
    asked: list[int] = []

    def is_clear(latency: PairedLatency) -> bool:
        asked.append(latency.processes)
        return False

    stopping = Stopping(20, 0.05, is_clear)
    ended = [n for n in range(1, 21) if stopping.ends(make_latency([[1.0]] * n, [[1.0]] * n))]
    assert asked == [6, 9, 12, 15]
    assert ended == [18, 19, 20]
    assert stopping.last == 18


def test_a_plan_that_can_decide_nothing_ends_at_its_cap(make_latency: MakeLatency) -> None:
    stopping = Stopping(2, 0.05)
    assert stopping.last == 2
    assert [stopping.ends(make_latency([[1.0]] * n, [[1.0]] * n)) for n in (1, 2)] == [False, True]


@pytest.mark.parametrize(("spread", "narrow"), [(0.04, True), (0.06, False)])
def test_a_ratio_is_narrow_at_five_percent_on_either_side(
    make_latency: MakeLatency, spread: float, narrow: bool
) -> None:
    candidate = [[1.0 + spread * (place - 2.5) / 2.5] for place in range(6)]
    assert is_narrow(make_latency([[1.0]] * 6, candidate)) is narrow
    assert not is_narrow(make_latency([[1.0]] * 5, candidate[:5]))
