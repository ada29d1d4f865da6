"""The artefact's own top-1 is at least ``min_percent``, whatever it was before compression."""

from __future__ import annotations

from hqp.gates import _wording
from hqp.records import Limit, Measurement, Verdict
from hqp.stats import noninferiority, power, proportion

needs: tuple[str, ...] = ()
limits = {"min_percent": Limit(1, 100, "percent of the images, 81 and not 0.81")}


def check(measurement: Measurement, *, min_percent: float) -> Verdict:
    """Passes where the whole interval of top-1, in percent of the test images, is at least ``min_percent``."""
    accuracy = measurement.accuracy
    estimate = proportion.percent(accuracy.correct, accuracy.total, noninferiority.CONFIDENCE)
    outcome = noninferiority.at_least(estimate, min_percent)
    places = _wording.decimals(estimate, min_percent)
    limit = f"the required {min_percent:.{places}f}%"
    reason = f"top-1 {_wording.interval(estimate, '%', places)} "
    if outcome == "pass":
        reason += f"reaches {limit}"
    elif outcome == "fail":
        reason += f"is below {limit}; min_percent={_wording.rounded(estimate.lower, _wording.DOWN)} would pass"
    else:
        images = power.samples_to_decide(estimate, min_percent, accuracy.total)
        reason += f"may be above or below {limit} on {accuracy.total:,} images; {_wording.more_images(images)}"
    return Verdict("min_top1", outcome, reason, estimate, {"min_percent": min_percent})
