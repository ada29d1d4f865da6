"""The median time of one inference is at most ``max_median_ms``, in this environment.

It is the median, and not the 99th percentile: a percentile of the tail needs three hundred undisturbed samples before
it has an upper bound at all, and a run takes about one hundred.
"""

from __future__ import annotations

import numpy as np

from hqp.gates import _wording
from hqp.records import Limit, Measurement, Verdict
from hqp.stats import median, noninferiority, power

needs: tuple[str, ...] = ()
limits = {"max_median_ms": Limit(0.001, 60_000, "milliseconds of one inference")}


def check(measurement: Measurement, *, max_median_ms: float) -> Verdict:
    """Passes where the whole interval of the median over blocks, each with its own median, is at most that time."""
    blocks, given = measurement.latency.blocks, {"max_median_ms": max_median_ms}
    estimate = median.median([float(np.median(block.candidate_ms)) for block in blocks], noninferiority.CONFIDENCE)
    if estimate is None:
        return Verdict("max_ms", "inconclusive", _wording.too_few(measurement.latency), None, given)
    outcome = noninferiority.at_most(estimate, max_median_ms)
    places = _wording.decimals(estimate, max_median_ms)
    limit = f"{max_median_ms:.{places}f} ms"
    reason = f"median {_wording.interval(estimate, ' ms', places)} "
    if outcome == "pass":
        reason += f"is within {limit}"
    elif outcome == "fail":
        reason += f"is above {limit}; max_median_ms={_wording.rounded(estimate.upper, _wording.UP)} would pass"
    else:
        rounds = power.samples_to_decide(estimate, max_median_ms, len(blocks))
        reason += f"may be above or within {limit} after {len(blocks)} blocks; {_wording.more_rounds(rounds)}"
    return Verdict("max_ms", outcome, reason, estimate, given)
