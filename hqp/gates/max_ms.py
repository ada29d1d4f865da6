"""The median time of one inference is at most ``max_median_ms``, in this environment.

It is the median; ``latency_budget`` judges the slowest hundredth.
"""

from __future__ import annotations

from hqp.gates import LATENCY, _latency, _wording
from hqp.records import Limit, Measurement, Verdict
from hqp.stats import noninferiority, ratio

needs: tuple[str, ...] = ()
timed = LATENCY
limits = {"max_median_ms": Limit(0.001, 60_000, "milliseconds of one inference")}


def check(measurement: Measurement, *, max_median_ms: float) -> Verdict:
    """Passes where the whole interval of the median over processes, each with its own median, is at most that time."""
    question = _latency.Question(
        gate="max_ms",
        given={"max_median_ms": max_median_ms},
        limit=max_median_ms,
        decide=noninferiority.at_most,
        estimate=ratio.candidate_ms,
        rounds=lambda latency: _latency.rounds(latency, ratio.candidates_ms(latency), max_median_ms),
        words=_latency.Words("median {}", " ms", "{} ms", "is within", "is above", "may be above or within"),
        hint=lambda estimate: f"max_median_ms={_wording.rounded(estimate.upper, _wording.UP)} would pass",
    )
    return _latency.verdict(question, measurement.latency, measurement.confirmation)
