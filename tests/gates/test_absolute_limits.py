"""The gates on the model itself, compared with nothing: top-1, milliseconds, bytes, memory."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.gates import max_bytes, max_memory, max_ms, min_top1
from hqp.records import Accuracy, Estimate, Measurement, Metric, PairedLatency, Sidecar

Make = Callable[..., Measurement]


@pytest.mark.parametrize(
    ("correct", "outcome", "reason"),
    [
        (620, "pass", "top-1 62.00% (90% interval 59.40 to 64.55) reaches the required 59.00%"),
        (130, "fail", "top-1 13.00% (90% interval 11.28 to 14.88) is below the required 59.00%; min_percent=11.28 "
                      "would pass"),
        (600, "inconclusive", "top-1 60.00% (90% interval 57.38 to 62.57) may be above or below the required 59.00% on "
                              "1,000 images; about 6,900 images would decide"),
    ],
)  # fmt: skip
def test_min_top1(
    make_measurement: Make, make_accuracy: Callable[..., Accuracy], correct: int, outcome: str, reason: str
) -> None:
    accuracy = make_accuracy([True] * correct + [False] * (1000 - correct))
    # FP32 fell as deep, which is what accuracy_drop cannot see.
    verdict = min_top1.check(make_measurement(accuracy=accuracy, fp32_accuracy=accuracy), min_percent=59)
    assert (verdict.gate, verdict.outcome, verdict.limits) == ("min_top1", outcome, {"min_percent": 59})
    assert verdict.reason == reason


@pytest.mark.parametrize(
    ("limit", "outcome", "reason"),
    [
        (33.0, "pass", "median 32.00 ms (90% interval 31.60 to 32.40) is within 33.00 ms"),
        (31.0, "fail", "median 32.00 ms (90% interval 31.60 to 32.40) is above 31.00 ms; max_median_ms=32.40 would "
                       "pass"),
        (32.1, "inconclusive", "median 32.00 ms (90% interval 31.60 to 32.40) may be above or within 32.10 ms after 15 "
                               "processes; about rounds=517 in the suite would decide"),
    ],
)  # fmt: skip
def test_max_ms_judges_the_median_of_blocks(
    make_measurement: Make, make_latency: Callable[..., PairedLatency], limit: float, outcome: str, reason: str
) -> None:
    """Fifteen blocks with medians of 31.3 to 32.7 ms, each with one slow inference that plays no part."""
    blocks = [[32 + 0.1 * (number - 7)] * 2 + [500] for number in range(15)]
    verdict = max_ms.check(make_measurement(latency=make_latency([[1.0]] * 15, blocks)), max_median_ms=limit)
    assert (verdict.gate, verdict.outcome, verdict.limits) == ("max_ms", outcome, {"max_median_ms": limit})
    assert verdict.reason == reason


def test_max_ms_of_too_few_blocks_is_inconclusive(
    make_measurement: Make, make_latency: Callable[..., PairedLatency]
) -> None:
    verdict = max_ms.check(make_measurement(latency=make_latency([[1.0]] * 4, [[1.0]] * 4)), max_median_ms=99)
    assert (verdict.outcome, verdict.estimate) == ("inconclusive", None)
    assert verdict.reason.startswith("too few processes to bound a time: 4 of 6")


@pytest.mark.parametrize(
    ("count", "outcome", "reason"),
    [
        (8_000_000, "pass", "model.onnx has 8,000,000 bytes, within 8,000,000"),
        (8_000_001, "fail", "model.onnx has 8,000,001 bytes, above 8,000,000; max_bytes=8000001 would pass"),
    ],
)
def test_max_bytes_is_exact(
    make_measurement: Make, make_sidecar: Callable[..., Sidecar], count: int, outcome: str, reason: str
) -> None:
    verdict = max_bytes.check(make_measurement(sidecar=make_sidecar(file__size_bytes=count)), max_bytes=8e6)
    assert (verdict.gate, verdict.outcome, verdict.reason) == ("max_bytes", outcome, reason)
    assert (verdict.estimate, verdict.limits) == (Estimate(count, count, count, 1.0), {"max_bytes": 8e6})


@pytest.mark.parametrize(
    ("peak", "outcome", "reason"),
    [
        (90_000_000, "pass", "peak memory is 90,000,000 bytes, within 100,000,000"),
        (120_000_000, "fail", "peak memory is 120,000,000 bytes, above 100,000,000; max_bytes=120000000 would pass"),
        (None, "inconclusive", "peak memory could not be measured on cpu_openvino"),
    ],
)
def test_max_memory(make_measurement: Make, peak: int | None, outcome: str, reason: str) -> None:
    metrics = () if peak is None else (Metric("peak_memory", "bytes", (peak,)),)
    verdict = max_memory.check(make_measurement(metrics=metrics), max_bytes=1e8)
    assert (verdict.gate, verdict.outcome, verdict.reason) == ("max_memory", outcome, reason)
