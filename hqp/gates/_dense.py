"""What the gates on speed-up over another precision of the same model share."""

from __future__ import annotations

import math

from hqp.errors import NotApplicable
from hqp.gates import _latency, _wording
from hqp.records import Measurement, PairedLatency, Verdict
from hqp.stats import noninferiority, ratio


def speedup_over(
    precision: str,
    measurement: Measurement,
    latency: PairedLatency | None,
    confirmation: PairedLatency | None,
    min_ratio: float,
) -> Verdict:
    """Passes where the whole interval of the precision's time over the artefact's is at least ``min_ratio``.

    Raises:
        NotApplicable: the precision was not timed beside it.
    """
    if latency is None:
        raise NotApplicable(f"{precision} of {measurement.case.model} was not timed beside it")
    measured = f"{{}} beside {precision}"
    question = _latency.Question(
        gate=f"speedup_over_{precision.lower()}",
        given={"min_ratio": min_ratio},
        limit=min_ratio,
        decide=noninferiority.at_least,
        estimate=ratio.speedup,
        rounds=lambda latency: _latency.rounds(latency, -ratio.slowdowns(latency), math.log(min_ratio)),
        words=_latency.Words(measured, "x", "the required {}x", "reaches", "is below", "may be above or below"),
        hint=lambda estimate: f"min_ratio={_wording.rounded(estimate.lower, _wording.DOWN)} would pass",
    )
    return _latency.verdict(question, latency, confirmation)
