"""The gate on slow-down against the baseline's artefact, rerun."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.errors import NotApplicable
from hqp.gates import latency_regression
from hqp.records import Measurement, PairedLatency, Rerun

Make = Callable[..., Measurement]
MakeLatency = Callable[..., PairedLatency]

NOISE = [0.97 + 0.003 * block for block in range(21)]


@pytest.mark.parametrize(
    ("slower", "outcome", "reason"),
    [
        (0.8, "pass", "0.80x (90% interval 0.79 to 0.81) the time of the baseline's artefact is within 1.05x"),
        (1.0, "pass", "1.00x (90% interval 0.98 to 1.01) the time of the baseline's artefact is within 1.05x"),
        (1.2, "fail", "1.20x (90% interval 1.18 to 1.21) the time of the baseline's artefact is above 1.05x; "
                      "if it is meant, hqp baseline update"),
        (1.053, "inconclusive", "1.051x (90% interval 1.037 to 1.066) the time of the baseline's artefact may be above "
                                "or within 1.050x after 21 processes; more rounds would hardly decide"),
    ],
)  # fmt: skip
def test_outcome_and_reason(
    make_measurement: Make, make_latency: MakeLatency, slower: float, outcome: str, reason: str
) -> None:
    rerun = make_latency([[3.0]] * 21, [[3.0 * slower * noise] for noise in NOISE])
    verdict = latency_regression.check(make_measurement(baseline=Rerun("b" * 64, latency=rerun)), margin=0.05)
    assert (verdict.gate, verdict.outcome, verdict.limits) == ("latency_regression", outcome, {"margin": 0.05})
    assert verdict.reason == reason


def test_the_stored_numbers_play_no_part(make_measurement: Make, make_latency: MakeLatency) -> None:
    """The artefact's time beside FP32 may be anything: only the rerun beside the baseline's artefact counts."""
    rerun = make_latency([[3.0]] * 20, [[3.0]] * 20)
    slow = make_latency([[1.0]] * 20, [[99.0]] * 20)
    measurement = make_measurement(baseline=Rerun("b" * 64, latency=rerun), latency=slow)
    assert latency_regression.check(measurement, margin=0.05).outcome == "pass"


def test_too_few_blocks_are_inconclusive(make_measurement: Make, make_latency: MakeLatency) -> None:
    rerun = Rerun("b" * 64, latency=make_latency([[1.0]], [[9.0]]))
    verdict = latency_regression.check(make_measurement(baseline=rerun), margin=0.05)
    assert (verdict.outcome, verdict.estimate) == ("inconclusive", None)
    assert verdict.reason == "too few processes to bound a time: 1 of 6; measure on an idle machine"


def test_without_a_baseline_it_says_how_to_record_one(make_measurement: Make) -> None:
    assert latency_regression.needs == ("baseline_latency",)
    with pytest.raises(NotApplicable) as refused:
        latency_regression.check(make_measurement(), margin=0.05)
    assert str(refused.value) == ("no baseline of resnet18-hqp-cpu_openvino was recorded; try: hqp baseline update")


def test_it_says_that_an_artefact_recorded_elsewhere_was_rerun_here(
    make_measurement: Make, make_latency: MakeLatency
) -> None:
    rerun = Rerun("b" * 64, ("cpu", "runtime"), latency=make_latency([[3.0]] * 20, [[3.0]] * 20))
    assert latency_regression.check(make_measurement(baseline=rerun), margin=0.05).reason == (
        "1.00x (90% interval 1.00 to 1.00) the time of the baseline's artefact (recorded with another cpu, runtime; "
        "rerun here) is within 1.05x"
    )


def test_where_the_artefact_is_missing_it_says_what_brings_it(make_measurement: Make) -> None:
    rerun = Rerun("b" * 64, missing="there is no files/bb.onnx; try: git checkout -- files/bb.onnx")
    verdict = latency_regression.check(make_measurement(baseline=rerun), margin=0.05)
    assert (verdict.outcome, verdict.estimate) == ("inconclusive", None)
    assert verdict.reason == "artefact missing: there is no files/bb.onnx; try: git checkout -- files/bb.onnx"


def times(make_latency: MakeLatency, ratio: float, processes: int = 20) -> PairedLatency:
    """Processes that all measured one ratio, but for little."""
    return make_latency([[3.0]] * processes, [[3.0 * ratio * (1 + 1e-4 * number)] for number in range(processes)])


@pytest.mark.parametrize(
    ("again", "outcome", "reason"),
    [
        (1.10, "fail", "1.10x (90% interval 1.10 to 1.10) the time of the baseline's artefact is above 1.05x, "
                       "confirmed in fresh processes: 1.10x (90% interval 1.10 to 1.10); if it is "
                       "meant, hqp baseline update"),
        (1.01, "inconclusive", "1.10x (90% interval 1.10 to 1.10) the time of the baseline's artefact is above 1.05x, "
                               "but fresh processes gave 1.01x (90% interval 1.01 to 1.01); about rounds=5 in the "
                               "suite would decide"),
    ],
)  # fmt: skip
def test_a_failure_stands_where_its_confirmation_fails_too(
    make_measurement: Make, make_latency: MakeLatency, again: float, outcome: str, reason: str
) -> None:
    rerun = Rerun("b" * 64, latency=times(make_latency, 1.1), confirmation=times(make_latency, again))
    verdict = latency_regression.check(make_measurement(baseline=rerun), margin=0.05)
    assert (verdict.outcome, verdict.reason) == (outcome, reason)


def test_what_could_not_be_confirmed_is_inconclusive(make_measurement: Make, make_latency: MakeLatency) -> None:
    rerun = Rerun("b" * 64, latency=times(make_latency, 1.1), confirmation=times(make_latency, 1.1, 3))
    verdict = latency_regression.check(make_measurement(baseline=rerun), margin=0.05)
    assert verdict.outcome == "inconclusive"
    assert "is above 1.05x, which could not be confirmed; " in verdict.reason


@pytest.mark.parametrize(
    ("control", "margin", "outcome"),
    [
        (1.0, 0.05, "fail"),
        (1.2, 0.05, "inconclusive"),  # the same file differs from itself by more than the candidate does
        (1 / 1.2, 0.05, "inconclusive"),  # whichever way
        (1.02, 0.05, "fail"),  # by less than the margin: it widens nothing
        (1.2, 0.15, "pass"),  # it never narrows: what is within the margin that was asked for passes
        (1.0, 0.15, "pass"),
    ],
)
def test_a_control_may_widen_the_margin_and_never_narrows_it(
    make_measurement: Make, make_latency: MakeLatency, control: float, margin: float, outcome: str
) -> None:
    rerun = Rerun("b" * 64, latency=times(make_latency, 1.1), control=times(make_latency, control, 6))
    verdict = latency_regression.check(make_measurement(baseline=rerun), margin=margin)
    assert verdict.outcome == outcome
    assert ("the baseline beside itself measured" in verdict.reason) == (outcome == "inconclusive")
