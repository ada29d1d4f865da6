"""The artefact's file has at most ``max_ratio`` of the bytes of FP32's."""

from __future__ import annotations

from hqp.gates import _wording
from hqp.records import Estimate, Limit, Measurement, Verdict
from hqp.stats import noninferiority

needs: tuple[str, ...] = ("fp32",)
limits = {"max_ratio": Limit(0.001, 1, "a share of FP32's bytes; 1 is FP32's own size")}


def check(measurement: Measurement, *, max_ratio: float) -> Verdict:
    """Passes where ``model.onnx`` has at most ``max_ratio`` times the bytes of the FP32 file, which is exact."""
    size, dense = measurement.sidecar.file.size_bytes, measurement.fp32_bytes
    ratio = size / dense
    estimate = Estimate(ratio, ratio, ratio, confidence=1.0)
    outcome = noninferiority.at_most(estimate, max_ratio)
    places = _wording.decimals(estimate, max_ratio)
    reason = f"{ratio:.{places}f} of FP32 ({size / 1e6:.2f} of {dense / 1e6:.2f} MB) "
    reason += f"is {'within' if outcome == 'pass' else 'above'} {max_ratio:.{places}f}"
    if outcome != "pass":
        reason += f"; max_ratio={_wording.rounded(ratio, _wording.UP)} would pass"
    return Verdict("size", outcome, reason, estimate, {"max_ratio": max_ratio})
