"""The gate on lost accuracy, judged on counts that decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from hqp.errors import HqpError, NotApplicable
from hqp.gates import accuracy_drop
from hqp.records import Accuracy, Certificate, Measurement

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


# --- on the images that certified -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("candidates", "max_pp", "reason"),
    [
        (2, 1.5, "top-1 drop 0.50 pp (90% interval 0.40 to 0.61, not corrected for the choice of the step) is within "
                 "1.50 pp; this repeats the certificate, which the same images gave"),
        (1, 1.5, "top-1 drop 0.50 pp (90% interval 0.40 to 0.61) is within 1.50 pp; "
                 "this repeats the certificate, which the same images gave"),
        (1, 0.7, "top-1 drop 0.50 pp (90% interval 0.40 to 0.61) is within 0.70 pp"),
        (2, 0.7, "top-1 drop 0.50 pp (98.33% interval 0.36 to 0.66, corrected for the choice from 2 files by these "
                 "images) is within 0.70 pp"),
        (5, 0.68, "top-1 drop 0.50 pp (99.67% interval 0.33 to 0.69, corrected for the choice from 5 files by these "
                  "images) may be above or within 0.68 pp on 20,000 images; about 24,000 images would decide"),
    ],
)  # fmt: skip
def test_what_certified_the_file_repeats_itself_or_is_corrected_for_having_picked_it(
    make_measurement: Make, make_hits: MakeHits, candidates: int, max_pp: float, reason: str
) -> None:
    reference, candidate = make_hits(120, 20)
    whole = make_measurement(accuracy=candidate, fp32_accuracy=reference)
    certificate = Certificate(0.05, 1.5, True, 0.5, 0.61, 20_000, None, candidates)
    measured = replace(whole, sidecar=replace(whole.sidecar, certificate=certificate))
    assert accuracy_drop.check(measured, max_pp=max_pp).reason == reason
    other = [replace(accuracy, split="selection") for accuracy in (reference, candidate)]
    unseen = replace(measured, accuracy=other[1], fp32_accuracy=other[0])
    plain = accuracy_drop.check(unseen, max_pp=max_pp).reason
    assert plain == f"top-1 drop 0.50 pp (90% interval 0.40 to 0.61) is within {max_pp:.2f} pp"


def test_below_the_certificate_s_bound_a_picked_file_passes_wrongly_at_most_as_often_as_promised(
    make_measurement: Make, make_accuracy: Callable[..., Accuracy]
) -> None:
    """Five files lose 1.25 points, each of other images, and the images pick the one that seems to lose least."""
    draw, total, runs, true_drop = np.random.default_rng(0), 2000, 300, 0.0125
    reference = make_accuracy([True] * total)
    wrong = {1: 0, 5: 0}
    for _ in range(runs):
        lost = int(draw.binomial(total, true_drop, size=5).min())
        picked = make_accuracy([False] * lost + [True] * (total - lost))
        whole = make_measurement(accuracy=picked, fp32_accuracy=reference)
        for tested in wrong:
            certificate = Certificate(0.05, 3.0, True, 1.0, 2.0, total, None, tested)
            measured = replace(whole, sidecar=replace(whole.sidecar, certificate=certificate))
            wrong[tested] += accuracy_drop.check(measured, max_pp=1.2).outcome == "pass"
    assert wrong[1] > 0.1 * runs, "without the correction"
    assert wrong[5] <= 0.05 * runs
