"""The artefact is no slower than the one of the stored baseline, rerun beside it, but for ``margin``."""

from __future__ import annotations

from hqp.errors import NotApplicable
from hqp.gates import _wording
from hqp.records import Limit, Measurement, Verdict
from hqp.stats import noninferiority, power, signed_rank

needs: tuple[str, ...] = ("baseline_latency",)
limits = {"margin": Limit(0, 1, "the share of the baseline's time that may be added; twice the time must fail")}


def check(measurement: Measurement, *, margin: float) -> Verdict:
    """Passes where the whole interval of the artefact's time over the baseline's is at most 1 + ``margin``.

    Raises:
        NotApplicable: no baseline of this case was ever recorded.
    """
    rerun, given = measurement.baseline, {"margin": margin}
    if rerun is None:
        raise NotApplicable(f"no baseline of {measurement.case} was recorded", fix="hqp baseline update")
    if rerun.latency is None:
        return Verdict("latency_regression", "inconclusive", _wording.missing(rerun), None, given)
    blocks = rerun.latency.blocks
    slower = signed_rank.block_ratio(
        [block.candidate_ms for block in blocks], [block.reference_ms for block in blocks], noninferiority.CONFIDENCE
    )
    if slower is None:
        return Verdict("latency_regression", "inconclusive", _wording.too_few(rerun.latency), None, given)
    outcome = noninferiority.at_most(slower, 1 + margin)
    places = _wording.decimals(slower, 1 + margin)
    limit = f"{1 + margin:.{places}f}x"
    reason = f"{_wording.interval(slower, 'x', places)} the time of {_wording.baseline(rerun)} "
    if outcome == "pass":
        reason += f"is within {limit}"
    elif outcome == "fail":
        reason += f"is above {limit}; if it is meant, hqp baseline update"
    else:
        rounds = power.samples_to_decide(slower, 1 + margin, len(blocks))
        reason += f"may be above or within {limit} after {len(blocks)} blocks; {_wording.more_rounds(rounds)}"
    return Verdict("latency_regression", outcome, reason, slower, given)
