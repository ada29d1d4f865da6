"""The gate on accuracy lost since the baseline, paired by image."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.errors import HqpError, NotApplicable
from hqp.gates import accuracy_regression
from hqp.records import Accuracy, Measurement, Rerun

Make = Callable[..., Measurement]
MakeHits = Callable[..., tuple[Accuracy, Accuracy]]


@pytest.mark.parametrize(
    ("lost", "outcome", "reason"),
    [
        (20, "pass", "top-1 drop 0.00 pp (90% interval -0.06 to 0.06) is within 0.30 pp"),
        (120, "fail", "top-1 drop 0.50 pp (90% interval 0.40 to 0.61) is above 0.30 pp; max_pp=0.61 would pass"),
        (80, "inconclusive", "top-1 drop 0.30 pp (90% interval 0.22 to 0.39) may be above or within 0.30 pp on 20,000 "
                             "images; more images would hardly decide"),
    ],
)  # fmt: skip
def test_outcome_and_reason(make_measurement: Make, make_hits: MakeHits, lost: int, outcome: str, reason: str) -> None:
    before, now = make_hits(lost, 20)
    rerun = Rerun("b" * 64, ("runtime",), accuracy=before)
    verdict = accuracy_regression.check(make_measurement(accuracy=now, baseline=rerun), max_pp=0.3)
    assert (verdict.gate, verdict.outcome, verdict.limits) == ("accuracy_regression", outcome, {"max_pp": 0.3})
    assert verdict.reason == f"against the baseline's artefact (recorded with another runtime; rerun here), {reason}"


def test_fp32_plays_no_part(make_measurement: Make, make_hits: MakeHits) -> None:
    before, now = make_hits(0, 0)
    wrong, _ = make_hits(0, 19_000)
    measurement = make_measurement(accuracy=now, fp32_accuracy=wrong, baseline=Rerun("b" * 64, accuracy=before))
    assert accuracy_regression.check(measurement, max_pp=0.3).outcome == "pass"


def test_a_missing_artefact_is_inconclusive_and_no_baseline_is_a_skip(make_measurement: Make) -> None:
    missing = make_measurement(baseline=Rerun("b" * 64, missing="there is no file; try: git lfs pull"))
    verdict = accuracy_regression.check(missing, max_pp=1)
    assert (verdict.outcome, verdict.reason) == (
        "inconclusive",
        "artefact missing: there is no file; try: git lfs pull",
    )
    with pytest.raises(NotApplicable, match="no baseline of resnet18-hqp-cpu_openvino was recorded"):
        accuracy_regression.check(make_measurement(), max_pp=1)


def test_other_images_are_refused(make_measurement: Make, make_accuracy: Callable[..., Accuracy]) -> None:
    rerun = Rerun("b" * 64, accuracy=make_accuracy([True] * 20_000, digest="e" * 64))
    with pytest.raises(HqpError, match=r"of the baseline on 20000 images of 'test' \(eeee"):
        accuracy_regression.check(make_measurement(baseline=rerun), max_pp=1)
