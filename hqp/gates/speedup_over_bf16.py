"""The artefact is at least ``min_ratio`` times as fast as BF16 of the same model: where not, BF16 alone would do."""

from __future__ import annotations

from hqp.gates import BF16_LATENCY, _dense
from hqp.records import Limit, Measurement, Verdict

needs: tuple[str, ...] = ("bf16",)
timed = BF16_LATENCY
limits = {"min_ratio": Limit(0.5, 1000, "times as fast as BF16; below half its speed nothing is asked")}


def check(measurement: Measurement, *, min_ratio: float) -> Verdict:
    """Passes where the whole interval of BF16's time over the artefact's is at least ``min_ratio``.

    Raises:
        NotApplicable: BF16 was not timed beside it.
    """
    return _dense.speedup_over("BF16", measurement, measurement.bf16_latency, measurement.bf16_confirmation, min_ratio)
