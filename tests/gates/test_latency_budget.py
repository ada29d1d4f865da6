"""The gate on the slowest hundredth of inferences."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.gates import latency_budget
from hqp.records import Measurement, PairedLatency

Make = Callable[..., Measurement]
MakeLatency = Callable[..., PairedLatency]

# Twelve processes of 50 inferences of 10 ms, but for one of 20 ms in every other process: 6 of 600.
PROCESSES = [[10.0] * 50, [10.0] * 49 + [20.0]] * 6


@pytest.mark.parametrize(
    ("limit", "outcome", "reason"),
    [
        (33.0, "pass", "p99 10.10 ms (90% interval 10.00 to 20.00) is within 33.00 ms"),
        (20.0, "pass", "p99 10.10 ms (90% interval 10.00 to 20.00) is within 20.00 ms"),
        (9.0, "fail", "p99 10.10 ms (90% interval 10.00 to 20.00) is above 9.00 ms; max_p99_ms=20.00 would pass"),
        (16.0, "inconclusive", "p99 10.10 ms (90% interval 10.00 to 20.00) may be above or within 16.00 ms after 12 "
                               "processes; about rounds=1970 in the suite would decide"),
    ],
)  # fmt: skip
def test_it_judges_the_99th_percentile_and_not_the_median(
    make_measurement: Make, make_latency: MakeLatency, limit: float, outcome: str, reason: str
) -> None:
    latency = make_latency([[1.0]] * 12, PROCESSES)
    verdict = latency_budget.check(make_measurement(latency=latency), max_p99_ms=limit)
    assert (verdict.gate, verdict.outcome, verdict.limits) == ("latency_budget", outcome, {"max_p99_ms": limit})
    assert verdict.reason == reason


def test_too_few_inferences_are_inconclusive(make_measurement: Make, make_latency: MakeLatency) -> None:
    assert latency_budget.inferences == 600
    verdict = latency_budget.check(make_measurement(latency=make_latency([[1.0]] * 6, [[1.0] * 49] * 6)), max_p99_ms=33)
    assert (verdict.outcome, verdict.estimate) == ("inconclusive", None)
