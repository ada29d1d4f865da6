"""One inference takes at most ``max_mj`` of energy, measured on the board's own power sensors."""

from __future__ import annotations

from hqp.errors import NotApplicable
from hqp.gates import _wording
from hqp.records import Estimate, Limit, Measurement, Verdict
from hqp.stats import noninferiority

needs: tuple[str, ...] = ()
limits = {"max_mj": Limit(0.001, 1_000_000, "millijoules an inference, the idle module's part included")}


def check(measurement: Measurement, *, max_mj: float) -> Verdict:
    """Passes where every window of 10 s stays within ``max_mj``; inconclusive where only some do.

    Raises:
        NotApplicable: power is not measured on this device.
    """
    energy, given = measurement.metric("energy"), {"max_mj": max_mj}
    if energy is None:
        raise NotApplicable(f"power is not measured on {measurement.case.device}")
    # The range of n samples covers their median but where all of them fall on one side of it.
    confidence = 1 - 2.0 ** (1 - len(energy.samples))
    estimate = Estimate(energy.median, min(energy.samples), max(energy.samples), confidence)
    outcome = noninferiority.at_most(estimate, max_mj)
    places = _wording.decimals(estimate, max_mj)
    reason = (
        f"{estimate.value:.{places}f} mJ an inference ({estimate.lower:.{places}f} to {estimate.upper:.{places}f} in "
    )
    reason += f"{len(energy.samples)} windows) is "
    limit = f"{max_mj:.{places}f} mJ"
    if outcome == "pass":
        reason += f"within {limit}"
    elif outcome == "fail":
        reason += f"above {limit}; max_mj={_wording.rounded(estimate.upper, _wording.UP)} would pass"
    else:
        reason += f"within or above {limit} from window to window; a cooler, steadier board would decide"
    return Verdict("energy", outcome, reason, estimate, given)
