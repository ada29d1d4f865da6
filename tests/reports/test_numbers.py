"""The numbers of a case, and what gates said of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from hqp.records import Estimate, Measurement
from hqp.reports import _numbers

Make = Callable[..., Measurement]


def test_without_fp32_there_is_nothing_to_compare_with(make_measurement: Make) -> None:
    alone = make_measurement(fp32_accuracy=None)
    assert _numbers.speedup(alone) is _numbers.drop(alone) is None


def test_speed_and_loss_against_fp32(
    make_measurement: Make, make_latency: Callable[..., Any], make_hits: Callable[..., Any]
) -> None:
    reference, candidate = make_hits(lost=200, gained=100)
    latency = make_latency([[5.0, 5.0]] * 20, [[2.0, 2.0]] * 20)
    made = make_measurement(latency=latency, accuracy=candidate, fp32_accuracy=reference)
    speedup, drop = _numbers.speedup(made), _numbers.drop(made)
    assert speedup is not None and (speedup.value, speedup.lower, speedup.upper) == (2.5, 2.5, 2.5)
    assert drop is not None and round(drop.value, 6) == 0.5 and drop.lower < 0.5 < drop.upper


def test_the_median_stands_between_those_of_the_blocks(
    make_measurement: Make, make_latency: Callable[..., Any]
) -> None:
    made = make_measurement(latency=make_latency([[9.0]] * 3, [[1.0, 2.0, 9.0], [3.0, 3.0, 3.0], [4.0, 5.0, 6.0]]))
    assert _numbers.latency(made) == Estimate(3.0, 2.0, 5.0, 1.0)
    assert _numbers.latency(replace(made, latency=replace(made.latency, blocks=()))) is None


def test_the_worst_verdict_of_a_gate_counts(make_measurement: Make, make_judgement: Callable[..., Any]) -> None:
    made = make_measurement()
    judgements = [
        make_judgement(made, "size", "pass"),
        make_judgement(made, "size", "inconclusive"),
        make_judgement(made, "size", "fail", bound=False),
        make_judgement(made, "speedup", "fail"),
    ]
    assert _numbers.outcome(judgements, made.case, "size") == "inconclusive"
    assert _numbers.outcome(judgements, made.case, "size", bound=False) == "fail"
    assert _numbers.outcome(judgements, made.case, "max_ms") is None
