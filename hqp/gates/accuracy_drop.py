"""The artefact loses at most ``max_pp`` points of top-1 against FP32, on the same images."""

from __future__ import annotations

from hqp.errors import HqpError, NotApplicable
from hqp.gates import _wording
from hqp.records import Accuracy, Measurement, Verdict
from hqp.stats import noninferiority, paired, power

needs: tuple[str, ...] = ()


def check(measurement: Measurement, *, max_pp: float) -> Verdict:
    """Passes where the whole interval of the drop, in absolute points and paired by image, is at most ``max_pp``.

    Raises:
        NotApplicable: there is no FP32 accuracy to compare with.
        HqpError: the two accuracies are of different images.
    """
    reference, candidate = measurement.fp32_accuracy, measurement.accuracy
    if reference is None:
        raise NotApplicable(f"no FP32 file of {measurement.case.model} was measured beside it")
    _require_same_images(measurement, reference, candidate)
    estimate = paired.drop_pp(reference.correct_images, candidate.correct_images, noninferiority.CONFIDENCE)
    outcome = noninferiority.at_most(estimate, max_pp)
    places = _wording.decimals(estimate, max_pp)
    limit = f"{max_pp:.{places}f} pp"
    reason = f"top-1 drop {_wording.interval(estimate, ' pp', places)} "
    if outcome == "pass":
        reason += f"is within {limit}"
    elif outcome == "fail":
        reason += f"is above {limit}; max_pp={_wording.rounded(estimate.upper, _wording.UP)} would pass"
    else:
        images = power.samples_to_decide(estimate, max_pp, candidate.total)
        more = f"about {images:,} images would decide" if images else "more images would hardly decide"
        reason += f"may be above or within {limit} on {candidate.total:,} images; {more}"
    return Verdict("accuracy_drop", outcome, reason, estimate, {"max_pp": max_pp})


def _require_same_images(measurement: Measurement, reference: Accuracy, candidate: Accuracy) -> None:
    sides = [f"{side.total} images of '{side.split}' ({side.split_digest[:12]})" for side in (candidate, reference)]
    if (reference.split_digest, reference.total) != (candidate.split_digest, candidate.total):
        raise HqpError(
            f"accuracy of {measurement.case} is on {sides[0]}, of FP32 on {sides[1]}",
            "both on the same images",
            "measure both anew in one run",
        )
