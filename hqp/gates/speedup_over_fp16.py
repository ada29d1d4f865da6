"""The artefact is at least ``min_ratio`` times as fast as FP16 of the same model: where not, FP16 alone would do."""

from __future__ import annotations

from hqp.gates import FP16_LATENCY, _dense
from hqp.records import Limit, Measurement, Verdict

needs: tuple[str, ...] = ("fp16",)
timed = FP16_LATENCY
limits = {"min_ratio": Limit(0.5, 1000, "times as fast as FP16; below half its speed nothing is asked")}


def check(measurement: Measurement, *, min_ratio: float) -> Verdict:
    """Passes where the whole interval of FP16's time over the artefact's is at least ``min_ratio``.

    Raises:
        NotApplicable: FP16 was not timed beside it.
    """
    return _dense.speedup_over("FP16", measurement, measurement.fp16_latency, measurement.fp16_confirmation, min_ratio)
