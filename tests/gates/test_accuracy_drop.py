"""The gate on lost accuracy, judged on counts that decide."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.errors import HqpError, NotApplicable
from hqp.gates import accuracy_drop
from hqp.records import Accuracy, Measurement

Make = Callable[..., Measurement]
MakeHits = Callable[..., tuple[Accuracy, Accuracy]]


@pytest.mark.parametrize(
    ("lost", "gained", "outcome"),
    [(0, 0, "pass"), (250, 20, "pass"), (330, 20, "inconclusive"), (300, 0, "inconclusive"), (500, 20, "fail")],
)
def test_outcome_on_20000_images_under_a_bound_of_1_5_points(
    make_measurement: Make, make_hits: MakeHits, lost: int, gained: int, outcome: str
) -> None:
    reference, candidate = make_hits(lost, gained)
    verdict = accuracy_drop.check(make_measurement(accuracy=candidate, fp32_accuracy=reference), max_pp=1.5)
    assert (verdict.gate, verdict.outcome, verdict.limits) == ("accuracy_drop", outcome, {"max_pp": 1.5})
    assert verdict.estimate is not None
    assert verdict.estimate.value == pytest.approx(100 * (lost - gained) / 20_000, abs=1e-12)


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        (120, "top-1 drop 0.50 pp (90% interval 0.40 to 0.61) is within 1.50 pp"),
        (500, "top-1 drop 2.40 pp (90% interval 2.22 to 2.59) is above 1.50 pp; max_pp=2.60 would pass"),
        (
            330,
            "top-1 drop 1.55 pp (90% interval 1.40 to 1.71) may be above or within 1.50 pp on 20,000 images; "
            "about 180,000 images would decide",
        ),
        (320, "top-1 drop 1.50 pp (90% interval 1.35 to 1.66) may be above or within 1.50 pp on 20,000 images; "
              "more images would hardly decide"),
    ],
)  # fmt: skip
def test_reason(make_measurement: Make, make_hits: MakeHits, lost: int, reason: str) -> None:
    reference, candidate = make_hits(lost, 20)
    verdict = accuracy_drop.check(make_measurement(accuracy=candidate, fp32_accuracy=reference), max_pp=1.5)
    assert verdict.reason == reason


def test_pairing_decides_what_counts_alone_would_not(make_measurement: Make, make_hits: MakeHits) -> None:
    """100 points lost and 0 gained of 10,000 is sure to be within 1.5; 2,600 lost and 2,500 gained is not."""
    outcomes = []
    for lost, gained in ((100, 0), (2600, 2500)):
        reference, candidate = make_hits(lost, gained, 10_000)
        measurement = make_measurement(accuracy=candidate, fp32_accuracy=reference)
        outcomes.append(accuracy_drop.check(measurement, max_pp=1.5).outcome)
    assert outcomes == ["pass", "inconclusive"]


@pytest.mark.parametrize("other", [{"digest": "e" * 64}, {"total": 19_999}])
def test_accuracies_on_different_images_are_refused(
    make_measurement: Make, make_accuracy: Callable[..., Accuracy], other: dict[str, object]
) -> None:
    total, digest = int(str(other.get("total", 20_000))), other.get("digest", "d" * 64)
    measurement = make_measurement(fp32_accuracy=make_accuracy([True] * total, digest=digest))
    with pytest.raises(HqpError, match=r"accuracy of resnet18-hqp-cpu_openvino is on 20000 images of 'test'"):
        accuracy_drop.check(measurement, max_pp=1.5)


def test_without_fp32_there_is_nothing_to_judge(make_measurement: Make) -> None:
    with pytest.raises(NotApplicable, match="no FP32 file of resnet18"):
        accuracy_drop.check(make_measurement(fp32_accuracy=None), max_pp=1.5)
