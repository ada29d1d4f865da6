"""The artefact is at least ``min_ratio`` times as fast as FP32 on the same runtime and device."""

from __future__ import annotations

import math

from hqp.errors import NotApplicable
from hqp.gates import LATENCY, _latency, _wording
from hqp.records import Limit, Measurement, Verdict
from hqp.stats import noninferiority, ratio

needs: tuple[str, ...] = ("fp32",)
timed = LATENCY
limits = {"min_ratio": Limit(0.5, 1000, "times as fast as FP32; below half its speed nothing is asked")}


def check(measurement: Measurement, *, min_ratio: float) -> Verdict:
    """Passes where the whole interval of FP32's time over the artefact's is at least ``min_ratio``.

    Raises:
        NotApplicable: there is no FP32 file to compare with.
    """
    if measurement.fp32_accuracy is None:
        raise NotApplicable(f"no FP32 file of {measurement.case.model} was measured beside it")
    question = _latency.Question(
        gate="speedup",
        given={"min_ratio": min_ratio},
        limit=min_ratio,
        decide=noninferiority.at_least,
        estimate=ratio.speedup,
        rounds=lambda latency: _latency.rounds(latency, -ratio.slowdowns(latency), math.log(min_ratio)),
        words=_latency.Words("{}", "x", "the required {}x", "reaches", "is below", "may be above or below"),
        hint=lambda estimate: f"min_ratio={_wording.rounded(estimate.lower, _wording.DOWN)} would pass",
    )
    return _latency.verdict(question, measurement.latency, measurement.confirmation)
