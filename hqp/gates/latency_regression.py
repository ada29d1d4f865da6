"""The artefact is no slower than the one of the stored baseline, rerun beside it, but for ``margin``."""

from __future__ import annotations

import math

from hqp.errors import NotApplicable
from hqp.gates import BASELINE_LATENCY, _latency, _wording
from hqp.records import Limit, Measurement, PairedLatency, Verdict
from hqp.stats import noninferiority, ratio

needs: tuple[str, ...] = ("baseline_latency",)
timed = BASELINE_LATENCY
limits = {"margin": Limit(0, 1, "the share of the baseline's time that may be added; twice the time must fail")}


def check(measurement: Measurement, *, margin: float) -> Verdict:
    """Passes where the whole interval of the artefact's time over the baseline's is at most 1 + ``margin``.

    It fails where all of the interval is above, in a confirmation too, by a margin that is at least how far the
    baseline's artefact measured from itself.

    Raises:
        NotApplicable: no baseline of this case was ever recorded.
    """
    rerun, given = measurement.baseline, {"margin": margin}
    if rerun is None:
        raise NotApplicable(f"no baseline of {measurement.case} was recorded", fix="hqp baseline update")
    if rerun.latency is None:
        return Verdict("latency_regression", "inconclusive", _wording.missing(rerun), None, given)
    question = _latency.Question(
        gate="latency_regression",
        given=given,
        limit=1 + margin,
        decide=noninferiority.at_most,
        estimate=ratio.slowdown,
        rounds=lambda latency: _latency.rounds(latency, ratio.slowdowns(latency), math.log1p(margin)),
        words=_latency.Words(
            f"{{}} the time of {_wording.baseline(rerun)}",
            "x",
            "{}x",
            "is within",
            "is above",
            "may be above or within",
        ),
        hint=lambda _: "if it is meant, hqp baseline update",
        widened=_widened(1 + margin, rerun.control),
    )
    return _latency.verdict(question, rerun.latency, rerun.confirmation)


def _widened(limit: float, control: PairedLatency | None) -> float:
    """The limit, or how far one file measured from itself beside it, whichever is more."""
    apart = ratio.slowdown(control) if control is not None else None
    return limit if apart is None else max(limit, apart.value, 1 / apart.value)
