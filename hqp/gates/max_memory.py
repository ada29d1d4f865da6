"""Opening the artefact and running it once takes at most ``max_bytes`` bytes of memory."""

from __future__ import annotations

from hqp.gates import _wording
from hqp.records import Limit, Measurement, Verdict

needs: tuple[str, ...] = ()
limits = {"max_bytes": Limit(100_000, 1_000_000_000_000, "bytes by which a fresh process grows")}


def check(measurement: Measurement, *, max_bytes: float) -> Verdict:
    """Passes where a fresh process grew by at most ``max_bytes``; inconclusive where that could not be measured."""
    peak, given = measurement.metric("peak_memory"), {"max_bytes": max_bytes}
    if peak is None:
        reason = f"peak memory could not be measured on {measurement.case.device}"
        return Verdict("max_memory", "inconclusive", reason, None, given)
    outcome, reason, estimate = _wording.exact_bytes(int(peak.median), max_bytes)
    return Verdict("max_memory", outcome, f"peak memory is {reason}", estimate, given)
