"""The artefact is at least ``min_ratio`` times as fast as FP16 of the same model: where not, FP16 alone would do."""

from __future__ import annotations

import math

from hqp.errors import NotApplicable
from hqp.gates import FP16_LATENCY, _latency, _wording
from hqp.records import Limit, Measurement, Verdict
from hqp.stats import noninferiority, ratio

needs: tuple[str, ...] = ("fp16",)
timed = FP16_LATENCY
limits = {"min_ratio": Limit(0.5, 1000, "times as fast as FP16; below half its speed nothing is asked")}


def check(measurement: Measurement, *, min_ratio: float) -> Verdict:
    """Passes where the whole interval of FP16's time over the artefact's is at least ``min_ratio``.

    Raises:
        NotApplicable: FP16 was not timed beside it.
    """
    if measurement.fp16_latency is None:
        raise NotApplicable(f"FP16 of {measurement.case.model} was not timed beside it")
    question = _latency.Question(
        gate="speedup_over_fp16",
        given={"min_ratio": min_ratio},
        limit=min_ratio,
        decide=noninferiority.at_least,
        estimate=ratio.speedup,
        rounds=lambda latency: _latency.rounds(latency, -ratio.slowdowns(latency), math.log(min_ratio)),
        words=_latency.Words("{} beside FP16", "x", "the required {}x", "reaches", "is below", "may be above or below"),
        hint=lambda estimate: f"min_ratio={_wording.rounded(estimate.lower, _wording.DOWN)} would pass",
    )
    return _latency.verdict(question, measurement.fp16_latency, measurement.fp16_confirmation)
