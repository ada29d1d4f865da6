"""99 of 100 inferences take at most ``max_p99_ms``, in this environment: a frame's 33 ms or 16 ms, or any.

The interval is that of the 99th percentile of single inferences, which takes some hundreds of them to bound.
"""

from __future__ import annotations

import math

from hqp.gates import LATENCY, _latency, _wording
from hqp.records import Estimate, Limit, Measurement, PairedLatency, Verdict
from hqp.stats import noninferiority, percentile, ratio

needs: tuple[str, ...] = ()
timed = LATENCY
limits = {"max_p99_ms": Limit(0.001, 60_000, "milliseconds of one inference")}

SHARE = 0.99
# 299 independent ones have an upper bound at all, their slowest; twice as many leave room for some that are alike.
inferences = 600


def check(measurement: Measurement, *, max_p99_ms: float) -> Verdict:
    """Passes where the whole interval of the 99th percentile of the artefact's times is at most that time."""
    question = _latency.Question(
        gate="latency_budget",
        given={"max_p99_ms": max_p99_ms},
        limit=max_p99_ms,
        decide=noninferiority.at_most,
        estimate=_p99_ms,
        rounds=lambda latency: _rounds(latency, max_p99_ms),
        words=_latency.Words("p99 {}", " ms", "{} ms", "is within", "is above", "may be above or within"),
        hint=lambda estimate: f"max_p99_ms={_wording.rounded(estimate.upper, _wording.UP)} would pass",
    )
    return _latency.verdict(question, measurement.latency, measurement.confirmation)


def _p99_ms(latency: PairedLatency) -> Estimate | None:
    return percentile.percentile(ratio.candidate_samples_ms(latency), SHARE, 1 - 2 * latency.tail)


def _rounds(latency: PairedLatency, limit: float) -> int | None:
    samples = latency.candidate_ms
    needed = percentile.samples_to_decide(int((samples > limit).sum()), len(samples), SHARE, latency.tail)
    return math.ceil(needed * len(latency.blocks) / len(samples)) if needed else None
