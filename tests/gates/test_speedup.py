"""The gate on speed-up, judged on blocks that decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from hqp.errors import NotApplicable
from hqp.gates import speedup
from hqp.records import Measurement, PairedLatency

Make = Callable[..., Measurement]
MakeLatency = Callable[..., PairedLatency]

# Twenty processes, one block each, from 2.31 to 2.50 times as fast; the last look is at the first 18 of them.
TIMES = [[2.31 + 0.01 * block] for block in range(20)]


@pytest.mark.parametrize(
    ("min_ratio", "outcome", "reason"),
    [
        (2.0, "pass", "2.39x (90% interval 2.35 to 2.44) reaches the required 2.00x"),
        (2.5, "fail", "2.39x (90% interval 2.35 to 2.44) is below the required 2.50x; min_ratio=2.35 would pass"),
        (2.42, "inconclusive", "2.39x (90% interval 2.35 to 2.44) may be above or below the required 2.42x after 20 "
                               "processes; about rounds=517 in the suite would decide"),
    ],
)  # fmt: skip
def test_outcome_and_reason(
    make_measurement: Make, make_latency: MakeLatency, min_ratio: float, outcome: str, reason: str
) -> None:
    verdict = speedup.check(make_measurement(latency=make_latency(TIMES, [[1.0]] * 20)), min_ratio=min_ratio)
    assert (verdict.gate, verdict.outcome, verdict.limits) == ("speedup", outcome, {"min_ratio": min_ratio})
    assert verdict.reason == reason
    assert verdict.estimate is not None
    assert verdict.estimate.value == pytest.approx(2.395, abs=1e-4)


def test_a_limit_that_would_pass_passes(make_measurement: Make, make_latency: MakeLatency) -> None:
    measurement = make_measurement(latency=make_latency(TIMES, [[1.0]] * 20))
    suggested = speedup.check(measurement, min_ratio=9).reason.partition("min_ratio=")[2].split()[0]
    assert speedup.check(measurement, min_ratio=float(suggested)).outcome == "pass"


def test_exactly_the_required_ratio_passes(make_measurement: Make, make_latency: MakeLatency) -> None:
    measurement = make_measurement(latency=make_latency([[2.5]] * 20, [[1.0]] * 20))
    assert speedup.check(measurement, min_ratio=2.5).outcome == "pass"


def test_a_near_miss_is_never_worded_as_equal(make_measurement: Make, make_latency: MakeLatency) -> None:
    verdict = speedup.check(make_measurement(latency=make_latency([[2.4996]] * 20, [[1.0]] * 20)), min_ratio=2.5)
    assert verdict.reason.startswith("2.4996x (90% interval 2.4996 to 2.4996) is below the required 2.5000x")


def test_too_few_blocks_are_inconclusive(make_measurement: Make, make_latency: MakeLatency) -> None:
    latency = replace(make_latency([[9.0]] * 4, [[1.0]] * 4), disturbed=("cpu at 95% before block 3",) * 16)
    verdict = speedup.check(make_measurement(latency=latency), min_ratio=2.5)
    assert (verdict.outcome, verdict.estimate) == ("inconclusive", None)
    assert verdict.reason == (
        "too few processes to bound a time: 4 of 6 (16 blocks disturbed: cpu at 95% before block 3); "
        "measure on an idle machine"
    )


def test_no_block_at_all_is_inconclusive(make_measurement: Make, make_latency: MakeLatency) -> None:
    verdict = speedup.check(make_measurement(latency=make_latency([], [])), min_ratio=2.5)
    assert (verdict.outcome, verdict.estimate) == ("inconclusive", None)


def test_without_fp32_there_is_nothing_to_judge(make_measurement: Make) -> None:
    with pytest.raises(NotApplicable, match="no FP32 file of resnet18"):
        speedup.check(make_measurement(fp32_accuracy=None), min_ratio=2.5)
