"""The gate on bytes, which are exact."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.gates import size
from hqp.records import Estimate, Measurement, Sidecar


@pytest.mark.parametrize(
    ("size_bytes", "outcome", "reason"),
    [
        (2_500_000, "pass", "0.25 of FP32 (2.50 of 10.00 MB) is within 0.25"),
        (2_500_001, "fail", "0.2500001 of FP32 (2.50 of 10.00 MB) is above 0.2500000; max_ratio=0.26 would pass"),
        (5_000_000, "fail", "0.50 of FP32 (5.00 of 10.00 MB) is above 0.25; max_ratio=0.50 would pass"),
        (1_000_000, "pass", "0.10 of FP32 (1.00 of 10.00 MB) is within 0.25"),
    ],
)
def test_outcome_and_reason(
    make_measurement: Callable[..., Measurement],
    make_sidecar: Callable[..., Sidecar],
    size_bytes: int,
    outcome: str,
    reason: str,
) -> None:
    measurement = make_measurement(sidecar=make_sidecar(file__size_bytes=size_bytes), fp32_bytes=10_000_000)
    ratio = size_bytes / 10_000_000
    verdict = size.check(measurement, max_ratio=0.25)
    assert (verdict.gate, verdict.outcome, verdict.reason) == ("size", outcome, reason)
    assert (verdict.estimate, verdict.limits) == (Estimate(ratio, ratio, ratio, 1.0), {"max_ratio": 0.25})
