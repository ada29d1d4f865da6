"""What becomes of a verdict that is inconclusive: the suite decides whether its test fails or is skipped."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.plugin.items import GateFailed, GateItem
from hqp.records import Judgement, Measurement, Outcome


def check(judgement: Judgement, measurement: Measurement, inconclusive: str) -> None:
    """What the test of a gate does with a judgement."""
    suite = SimpleNamespace(inconclusive=inconclusive)
    run = SimpleNamespace(judge=lambda case, bound: judgement, measure=lambda case: measurement, suite=suite)
    item: Any = SimpleNamespace(run=run, case=judgement.case, bound=None, user_properties=[])
    GateItem.check(item)


@pytest.mark.parametrize(
    ("outcome", "inconclusive", "ends"),
    [
        ("inconclusive", "fail", GateFailed),
        ("inconclusive", "skip", pytest.skip.Exception),
        ("fail", "skip", GateFailed),
        ("fail", "fail", GateFailed),
    ],
)
def test_only_what_is_inconclusive_may_be_skipped(
    make_judgement: Callable[..., Judgement],
    make_measurement: Callable[..., Measurement],
    outcome: Outcome,
    inconclusive: str,
    ends: type[BaseException],
) -> None:
    measurement = make_measurement()
    with pytest.raises(ends, match=f"{outcome}: speedup says {outcome}"):
        check(make_judgement(measurement, "speedup", outcome), measurement, inconclusive)
    check(make_judgement(measurement, "speedup", "pass"), measurement, inconclusive)
