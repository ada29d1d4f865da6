"""The gates on speed-up over FP16 and BF16."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp import catalog
from hqp.errors import NotApplicable
from hqp.records import Measurement, PairedLatency

Make = Callable[..., Measurement]
MakeLatency = Callable[..., PairedLatency]


@pytest.mark.parametrize("half", ["fp16", "bf16"])
@pytest.mark.parametrize(
    ("half_ms", "outcome", "reason"),
    [
        (1.25, "pass", "1.25x (90% interval 1.25 to 1.25) beside {} reaches the required 1.00x"),
        (
            0.8,
            "fail",
            "0.80x (90% interval 0.80 to 0.80) beside {} is below the required 1.00x; min_ratio=0.80 would pass",
        ),
    ],
)
def test_int8_that_is_slower_than_half_precision_is_said(
    make_measurement: Make, make_latency: MakeLatency, half: str, half_ms: float, outcome: str, reason: str
) -> None:
    measurement = make_measurement(**{f"{half}_latency": make_latency([[half_ms]] * 20, [[1.0]] * 20)})
    verdict = catalog.find("gates", f"speedup_over_{half}").check(measurement, min_ratio=1.0)
    expected = (f"speedup_over_{half}", outcome, reason.format(half.upper()))
    assert (verdict.gate, verdict.outcome, verdict.reason) == expected


@pytest.mark.parametrize(("half", "other"), [("fp16", "bf16"), ("bf16", "fp16")])
def test_without_that_precision_beside_it_there_is_nothing_to_judge(
    make_measurement: Make, make_latency: MakeLatency, half: str, other: str
) -> None:
    measurement = make_measurement(**{f"{other}_latency": make_latency([[1.0]] * 20, [[1.0]] * 20)})
    with pytest.raises(NotApplicable, match=f"{half.upper()} of resnet18 was not timed beside it"):
        catalog.find("gates", f"speedup_over_{half}").check(measurement, min_ratio=1.0)
