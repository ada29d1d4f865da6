"""The gate on speed-up over FP16."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.errors import NotApplicable
from hqp.gates import speedup_over_fp16
from hqp.records import Measurement, PairedLatency

Make = Callable[..., Measurement]
MakeLatency = Callable[..., PairedLatency]


@pytest.mark.parametrize(
    ("fp16_ms", "outcome", "reason"),
    [
        (1.25, "pass", "1.25x (90% interval 1.25 to 1.25) beside FP16 reaches the required 1.00x"),
        (
            0.8,
            "fail",
            "0.80x (90% interval 0.80 to 0.80) beside FP16 is below the required 1.00x; min_ratio=0.80 would pass",
        ),
    ],
)
def test_int8_that_is_slower_than_fp16_is_said(
    make_measurement: Make, make_latency: MakeLatency, fp16_ms: float, outcome: str, reason: str
) -> None:
    measurement = make_measurement(fp16_latency=make_latency([[fp16_ms]] * 20, [[1.0]] * 20))
    verdict = speedup_over_fp16.check(measurement, min_ratio=1.0)
    assert (verdict.gate, verdict.outcome, verdict.reason) == ("speedup_over_fp16", outcome, reason)


def test_without_fp16_beside_it_there_is_nothing_to_judge(make_measurement: Make) -> None:
    with pytest.raises(NotApplicable, match="FP16 of resnet18 was not timed beside it"):
        speedup_over_fp16.check(make_measurement(), min_ratio=1.0)
