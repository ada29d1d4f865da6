"""The artefact loses at most ``max_pp`` points of top-1 against FP32, on the same images."""

from __future__ import annotations

from hqp.errors import NotApplicable
from hqp.gates import _accuracy
from hqp.records import Limit, Measurement, Verdict

needs: tuple[str, ...] = ("fp32",)
limits = {"max_pp": Limit(0, 50, "points of top-1 lost; a network that lost more is of no use")}


def check(measurement: Measurement, *, max_pp: float) -> Verdict:
    """Passes where the whole interval of the drop, in absolute points and paired by image, is at most ``max_pp``.

    Raises:
        NotApplicable: there is no FP32 accuracy to compare with.
        HqpError: the two accuracies are of different images.
    """
    if measurement.fp32_accuracy is None:
        raise NotApplicable(f"no FP32 file of {measurement.case.model} was measured beside it")
    outcome, reason, estimate = _accuracy.drop(measurement, measurement.fp32_accuracy, "FP32", max_pp)
    return Verdict("accuracy_drop", outcome, reason, estimate, {"max_pp": max_pp})
