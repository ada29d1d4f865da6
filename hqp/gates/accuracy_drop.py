"""The artefact loses at most ``max_pp`` points of top-1 against FP32, on the same images.

Where these images certified the artefact, they also picked it from several files: its drop flatters. At or above Δmax
the gate then repeats the certificate, and says so. Below, where the certificate promises nothing, the j-th file that
was tested is judged at α / (j (j + 1)): the sum over all j is α, so whichever file the images picked, and whenever they
stopped, at most α of files that truly lose more than ``max_pp`` pass (Bonferroni's inequality).
"""

from __future__ import annotations

from hqp.errors import NotApplicable
from hqp.gates import _accuracy
from hqp.records import Certificate, Limit, Measurement, Verdict
from hqp.stats import noninferiority

needs: tuple[str, ...] = ("fp32",)
limits = {"max_pp": Limit(0, 50, "points of top-1 lost; a network that lost more is of no use")}

# The split whose images certify.
CERTIFYING = "test"


def check(measurement: Measurement, *, max_pp: float) -> Verdict:
    """Passes where the whole interval of the drop, in absolute points and paired by image, is at most ``max_pp``.

    Raises:
        NotApplicable: there is no FP32 accuracy to compare with.
        HqpError: the two accuracies are of different images.
    """
    if measurement.fp32_accuracy is None:
        raise NotApplicable(f"no FP32 file of {measurement.case.model} was measured beside it")
    # Images of another split picked nothing.
    on_certifying_images = measurement.accuracy.split == CERTIFYING
    certificate = measurement.sidecar.certificate if on_certifying_images else None
    confidence, about = _level(certificate, max_pp)
    outcome, reason, estimate = _accuracy.drop(
        measurement, measurement.fp32_accuracy, "FP32", max_pp, confidence=confidence, about=about
    )
    if outcome == "pass" and certificate and certificate.certified and max_pp >= certificate.delta_max_pp:
        reason += "; this repeats the certificate, which the same images gave"
    return Verdict("accuracy_drop", outcome, reason, estimate, {"max_pp": max_pp})


def _level(certificate: Certificate | None, max_pp: float) -> tuple[float, str]:
    """The confidence of the interval, and what is to be known of it, where the images gave this certificate."""
    if certificate is None or certificate.candidates == 1:
        return noninferiority.CONFIDENCE, ""
    if max_pp >= certificate.delta_max_pp:
        return noninferiority.CONFIDENCE, "not corrected for the choice of the step"
    tested = certificate.candidates
    alpha = (1 - noninferiority.CONFIDENCE) / 2
    return 1 - 2 * alpha / (tested * (tested + 1)), f"corrected for the choice from {tested} files by these images"
