"""The artefact's file has at most ``max_bytes`` bytes."""

from __future__ import annotations

from hqp.gates import _wording
from hqp.records import Limit, Measurement, Verdict

needs: tuple[str, ...] = ()
limits = {"max_bytes": Limit(1_000, 2_000_000_000, "bytes of model.onnx; no ONNX file holds more")}


def check(measurement: Measurement, *, max_bytes: float) -> Verdict:
    """Passes where ``model.onnx`` has at most ``max_bytes`` bytes, which is exact."""
    outcome, reason, estimate = _wording.exact_bytes(measurement.sidecar.file.size_bytes, max_bytes)
    return Verdict("max_bytes", outcome, f"model.onnx has {reason}", estimate, {"max_bytes": max_bytes})
