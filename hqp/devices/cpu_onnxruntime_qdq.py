"""This machine's CPU under ONNX Runtime, Q and DQ computed as they are written: it stands in for TensorRT."""

from __future__ import annotations

from hqp.devices import _nvidia
from hqp.records import Device
from hqp.transport import Host

# Without its own kernels for INT8, ONNX Runtime multiplies in FP32 what Q and DQ give, and adds biases in float, as
# TensorRT does. Its kernels make int32 of float biases, and on x86 without VNNI they saturate.
device = Device(
    runtime="onnxruntime",
    threads=1,
    precisions=("fp32", "fp16", "int8"),
    policy=_nvidia.POLICY,
    summary="this machine's CPU, ONNX Runtime with Q and DQ as written, one thread",
)


def facts(host: Host) -> dict[str, str]:
    """Nothing beyond what every host reports of its CPU."""
    return {}
