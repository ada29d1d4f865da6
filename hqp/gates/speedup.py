"""The artefact is at least ``min_ratio`` times as fast as FP32 on the same runtime and device."""

from __future__ import annotations

from hqp.errors import NotApplicable
from hqp.gates import _wording
from hqp.records import Limit, Measurement, Verdict
from hqp.stats import noninferiority, power, signed_rank

needs: tuple[str, ...] = ("fp32",)
limits = {"min_ratio": Limit(0.5, 1000, "times as fast as FP32; below half its speed nothing is asked")}


def check(measurement: Measurement, *, min_ratio: float) -> Verdict:
    """Passes where the whole interval of FP32's time over the artefact's is at least ``min_ratio``.

    Raises:
        NotApplicable: there is no FP32 file to compare with.
    """
    if measurement.fp32_accuracy is None:
        raise NotApplicable(f"no FP32 file of {measurement.case.model} was measured beside it")
    blocks = measurement.latency.blocks
    estimate = signed_rank.block_ratio(
        [block.reference_ms for block in blocks], [block.candidate_ms for block in blocks], noninferiority.CONFIDENCE
    )
    given = {"min_ratio": min_ratio}
    if estimate is None:
        return Verdict("speedup", "inconclusive", _wording.too_few(measurement.latency), None, given)
    outcome = noninferiority.at_least(estimate, min_ratio)
    places = _wording.decimals(estimate, min_ratio)
    limit = f"the required {min_ratio:.{places}f}x"
    reason = f"{_wording.interval(estimate, 'x', places)} "
    if outcome == "pass":
        reason += f"reaches {limit}"
    elif outcome == "fail":
        reason += f"is below {limit}; min_ratio={_wording.rounded(estimate.lower, _wording.DOWN)} would pass"
    else:
        rounds = power.samples_to_decide(estimate, min_ratio, len(blocks))
        reason += f"may be above or below {limit} after {len(blocks)} blocks; {_wording.more_rounds(rounds)}"
    return Verdict("speedup", outcome, reason, estimate, given)
