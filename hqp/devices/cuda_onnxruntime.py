"""This machine's NVIDIA GPU under ONNX Runtime: FP32 and FP16, for any GPU and without TensorRT."""

from __future__ import annotations

from hqp import nvml
from hqp.devices import _nvidia
from hqp.records import Device
from hqp.transport import Host

# Its CUDA provider has no INT8: a QDQ file would run in float, and slower than the file that was quantised.
device = Device(
    runtime="onnxruntime_cuda",
    threads=1,
    precisions=("fp32", "fp16"),
    replaces={"int8": "fp16"},
    policy=_nvidia.POLICY,
    summary="this machine's NVIDIA GPU, ONNX Runtime",
    stand_in="cpu_onnxruntime_qdq",
    rails=nvml.RAILS,
)


def facts(host: Host) -> dict[str, str]:
    """The GPU, its driver and its power limit."""
    return _nvidia.facts(host)
