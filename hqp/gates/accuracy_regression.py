"""The artefact loses at most ``max_pp`` points of top-1 against that of the stored baseline, on the same images."""

from __future__ import annotations

from hqp.errors import NotApplicable
from hqp.gates import _accuracy, _wording
from hqp.records import Limit, Measurement, Verdict

needs: tuple[str, ...] = ("baseline_accuracy",)
limits = {"max_pp": Limit(0, 50, "points of top-1 lost; a network that lost more is of no use")}


def check(measurement: Measurement, *, max_pp: float) -> Verdict:
    """Passes where the whole interval of the drop, in absolute points and paired by image, is at most ``max_pp``.

    Raises:
        NotApplicable: no baseline of this case was ever recorded.
        HqpError: the two accuracies are of different images.
    """
    rerun, given = measurement.baseline, {"max_pp": max_pp}
    if rerun is None:
        raise NotApplicable(f"no baseline of {measurement.case} was recorded", fix="hqp baseline update")
    if rerun.accuracy is None:
        return Verdict("accuracy_regression", "inconclusive", _wording.missing(rerun), None, given)
    outcome, reason, estimate = _accuracy.drop(measurement, rerun.accuracy, "the baseline", max_pp)
    reason = f"against {_wording.baseline(rerun)}, {reason}"
    return Verdict("accuracy_regression", outcome, reason, estimate, given)
