"""The artefact is no slower than the one of the stored baseline, rerun beside it, but for ``margin``."""

from __future__ import annotations

from hqp.errors import NotApplicable
from hqp.gates import _wording
from hqp.records import Measurement, Verdict
from hqp.stats import noninferiority, power, signed_rank

needs: tuple[str, ...] = ("baseline",)


def check(measurement: Measurement, *, margin: float) -> Verdict:
    """Passes where the whole interval of the artefact's time over the baseline's is at most 1 + ``margin``.

    Raises:
        NotApplicable: there is no baseline of this case in this environment.
    """
    if measurement.baseline is None:
        raise NotApplicable(f"no baseline of {measurement.case} in this environment", fix="hqp baseline update")
    blocks = measurement.baseline.blocks
    slower = signed_rank.block_ratio(
        [block.candidate_ms for block in blocks], [block.reference_ms for block in blocks], noninferiority.CONFIDENCE
    )
    limits = {"margin": margin}
    if slower is None:
        return Verdict("latency_regression", "inconclusive", _wording.too_few(measurement.baseline), None, limits)
    outcome = noninferiority.at_most(slower, 1 + margin)
    places = _wording.decimals(slower, 1 + margin)
    limit = f"{1 + margin:.{places}f}x"
    reason = f"{_wording.interval(slower, 'x', places)} the time of the baseline's artefact "
    if outcome == "pass":
        reason += f"is within {limit}"
    elif outcome == "fail":
        reason += f"is above {limit}; if it is meant, hqp baseline update"
    else:
        rounds = power.samples_to_decide(slower, 1 + margin, len(blocks))
        reason += f"may be above or within {limit} after {len(blocks)} blocks; {_wording.more_rounds(rounds)}"
    return Verdict("latency_regression", outcome, reason, slower, limits)
