"""What the gates on lost accuracy share: the drop against a reference, paired by image, beside a bound."""

from __future__ import annotations

from hqp.errors import HqpError
from hqp.gates import _wording
from hqp.records import Accuracy, Estimate, Measurement, Outcome
from hqp.stats import noninferiority, paired, power


def drop(
    measurement: Measurement,
    reference: Accuracy,
    name: str,
    max_pp: float,
    *,
    confidence: float = noninferiority.CONFIDENCE,
    about: str = "",
) -> tuple[Outcome, str, Estimate]:
    """Whether top-1 lies at most ``max_pp`` points below that of ``reference``, which messages call ``name``.

    ``about`` says what the interval at ``confidence`` does not take into account, or more than others do.

    Raises:
        HqpError: the two accuracies are of different images.
    """
    candidate = measurement.accuracy
    _require_same_images(measurement, reference, name)
    estimate = paired.drop_pp(reference.correct_images, candidate.correct_images, confidence)
    outcome = noninferiority.at_most(estimate, max_pp)
    places = _wording.decimals(estimate, max_pp)
    limit = f"{max_pp:.{places}f} pp"
    reason = f"top-1 drop {_wording.interval(estimate, ' pp', places, about)} "
    if outcome == "pass":
        reason += f"is within {limit}"
    elif outcome == "fail":
        reason += f"is above {limit}; max_pp={_wording.rounded(estimate.upper, _wording.UP)} would pass"
    else:
        images = power.samples_to_decide(estimate, max_pp, candidate.total)
        reason += f"may be above or within {limit} on {candidate.total:,} images; {_wording.more_images(images)}"
    return outcome, reason, estimate


def _require_same_images(measurement: Measurement, reference: Accuracy, name: str) -> None:
    candidate = measurement.accuracy
    if (reference.split_digest, reference.total) == (candidate.split_digest, candidate.total):
        return
    mine, theirs = (
        f"{side.total} images of '{side.split}' ({side.split_digest[:12]})" for side in (candidate, reference)
    )
    raise HqpError(
        f"accuracy of {measurement.case} is on {mine}, of {name} on {theirs}",
        "both on the same images",
        "measure both anew in one run",
    )
