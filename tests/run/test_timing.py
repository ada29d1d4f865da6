"""When gates on time have enough, and a failure that is measured again before it is said."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hqp import Gate, Suite, catalog
from hqp.gates import BASELINE_LATENCY, LATENCY
from hqp.records import TAIL, Measurement, PairedLatency, Rerun
from hqp.run import judge, measuring, timing
from hqp.run.context import Context
from hqp.run.judge import Bound
from hqp.run.measuring import Protocol
from hqp.run.plugins import Plugins
from hqp.store import Store

Make = Callable[..., Measurement]
MakeLatency = Callable[..., PairedLatency]

REGRESSION = Bound(Gate("latency_regression", margin=0.05), catalog.find("gates", "latency_regression"))
SPEEDUP = Bound(Gate("speedup", min_ratio=2.0), catalog.find("gates", "speedup"))
BUDGET = Bound(Gate("latency_budget", max_p99_ms=16), catalog.find("gates", "latency_budget"))
OVER_FP16 = Bound(Gate("speedup_over_fp16", min_ratio=1.0), catalog.find("gates", "speedup_over_fp16"))
REFERENCE = ("b" * 64, Path("old.onnx"))


def slower(make_latency: MakeLatency, ratio: float) -> PairedLatency:
    return make_latency([[3.0]] * 6, [[3.0 * ratio]] * 6)


class Timer:
    """Stands for the machine: gives recorded times for each pair it is asked for, and notes what was asked."""

    def __init__(self, *times: PairedLatency) -> None:
        self.times = list(times)
        self.asked: list[tuple[str, Path, int, float]] = []
        self.clear: list[bool] = []

    def __call__(
        self, context: Any, device: str, reference: Any, candidate: Path, protocol: Protocol, step: str, is_clear: Any
    ) -> PairedLatency:
        times = self.times.pop(0)
        self.asked.append((step, candidate, protocol.seed, protocol.tail))
        self.clear.append(is_clear(times))
        return times


def confirmed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, timer: Timer, measurement: Measurement, bound: Bound
) -> Measurement:
    monkeypatch.setattr(measuring, "time_pair", timer)
    context, protocol = Context(Store(tmp_path)), Protocol(seed=4, tail=0.02)
    return timing.confirmed(context, measurement, bound, REFERENCE, Path("new.onnx"), protocol)


def test_a_slow_down_is_said_after_a_control_and_a_confirmation(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_measurement: Make, make_latency: MakeLatency
) -> None:
    first = make_measurement(baseline=Rerun("b" * 64, latency=slower(make_latency, 1.1)))
    assert timing.fails(REGRESSION, first)
    timer = Timer(slower(make_latency, 1.0), slower(make_latency, 1.1))
    done = confirmed(monkeypatch, tmp_path, timer, first, REGRESSION)
    # The baseline's file beside itself; then the pair, the arms in another order, with the level of the run.
    assert timer.asked == [("A/A control", Path("old.onnx"), 4, 0.02), ("confirmation", Path("new.onnx"), 5, 0.02)]
    assert timer.clear == [True, True]
    assert done.baseline is not None
    assert (done.baseline.control, done.baseline.confirmation) == (slower(make_latency, 1.0), slower(make_latency, 1.1))
    assert timing.fails(REGRESSION, done)
    # Whoever asks again gets what was measured.
    assert confirmed(monkeypatch, tmp_path, Timer(), done, REGRESSION) == done


def test_a_slow_down_that_is_gone_in_fresh_processes_is_not_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_measurement: Make, make_latency: MakeLatency
) -> None:
    first = make_measurement(baseline=Rerun("b" * 64, latency=slower(make_latency, 1.1)))
    timer = Timer(slower(make_latency, 1.0), slower(make_latency, 1.0))
    done = confirmed(monkeypatch, tmp_path, timer, first, REGRESSION)
    verdict = REGRESSION.judge(done).verdict
    assert verdict is not None and verdict.outcome == "inconclusive"
    assert timer.clear == [True, True], "the confirmation ends where it would pass by itself, too"


def test_where_the_same_file_differs_as_much_nothing_is_left_to_confirm(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_measurement: Make, make_latency: MakeLatency
) -> None:
    first = make_measurement(baseline=Rerun("b" * 64, latency=slower(make_latency, 1.1)))
    timer = Timer(slower(make_latency, 0.8))
    done = confirmed(monkeypatch, tmp_path, timer, first, REGRESSION)
    assert [step for step, *_ in timer.asked] == ["A/A control"]
    assert not timing.fails(REGRESSION, done)


def test_a_gate_beside_fp32_is_confirmed_without_a_control_and_once_for_all_gates_of_the_pair(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_measurement: Make, make_latency: MakeLatency
) -> None:
    first = make_measurement(latency=slower(make_latency, 0.9))
    timer = Timer(slower(make_latency, 0.9))
    done = confirmed(monkeypatch, tmp_path, timer, first, SPEEDUP)
    assert [step for step, *_ in timer.asked] == ["confirmation"]
    assert timing.fails(SPEEDUP, done)
    assert confirmed(monkeypatch, tmp_path, Timer(), done, BUDGET) == done


def test_a_gate_beside_fp16_has_a_confirmation_of_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, make_measurement: Make, make_latency: MakeLatency
) -> None:
    first = make_measurement(fp16_latency=slower(make_latency, 1.5), confirmation=slower(make_latency, 0.1))
    assert timing.fails(OVER_FP16, first)
    timer = Timer(slower(make_latency, 0.5))
    done = confirmed(monkeypatch, tmp_path, timer, first, OVER_FP16)
    assert (done.fp16_confirmation, done.confirmation) == (slower(make_latency, 0.5), first.confirmation)
    assert timer.clear == [True]
    assert not timing.fails(OVER_FP16, done)


def test_timing_goes_on_while_a_gate_is_undecided(make_measurement: Make, make_latency: MakeLatency) -> None:
    bounds = (REGRESSION, SPEEDUP, BUDGET)
    beside_fp32 = timing.Wanted.of(bounds, LATENCY)
    assert beside_fp32.bounds == (SPEEDUP, BUDGET)
    assert beside_fp32.inferences == 600
    is_clear = beside_fp32.is_clear
    assert is_clear is not None
    many = make_latency([[8.0] * 100] * 6, [[2.0] * 100] * 6)
    assert is_clear(make_measurement(latency=many))
    # The ratio is clear, and 60 inferences do not bound a 99th percentile.
    assert not is_clear(make_measurement(latency=make_latency([[8.0] * 10] * 6, [[2.0] * 10] * 6)))
    beside_baseline = timing.Wanted.of(bounds, BASELINE_LATENCY)
    assert (beside_baseline.bounds, beside_baseline.inferences) == ((REGRESSION,), 0)
    ungated = timing.Wanted.of((), LATENCY)
    assert ungated.is_clear is None
    assert ungated.is_clear_with(make_measurement(), many)
    assert beside_fp32.is_clear_with(make_measurement(), many)


def test_inferences_that_a_gate_needs_are_there_at_the_first_look() -> None:
    assert Protocol(inferences=600).iterations == 50  # six processes of two blocks
    assert Protocol(rounds=10, inferences=600).iterations == 60  # five
    assert Protocol().iterations == 5


def test_the_level_of_a_confirmation_keeps_the_whole_run_s() -> None:
    """Two alarms of 5% each are one in 400: enough for 20 verdicts; of more, the second must be rarer."""
    assert judge.confirmation_tail(20, 0) == pytest.approx(TAIL)
    assert judge.confirmation_tail(40, 0) == pytest.approx(1 / 40)
    assert judge.confirmation_tail(40, 15) == pytest.approx(1 / 25)
    assert judge.confirmation_tail(40, 39) == TAIL


def test_the_verdicts_on_time_of_a_run_are_counted() -> None:
    suite = Suite(
        ("resnet18",), "signs", ("cpu_onnxruntime",), ("fp32", "q8", "hqp"),
        (Gate("speedup", min_ratio=2), Gate("size", max_ratio=0.3), Gate("max_ms", methods="q8", max_median_ms=9)),
    )  # fmt: skip
    bounds = judge.resolve(suite, Plugins()).bounds
    # speedup judges q8 and hqp, since FP32 is its reference; max_ms judges q8; size is no time.
    assert judge.verdicts_on_time(bounds, tuple(suite.cases())) == 3
