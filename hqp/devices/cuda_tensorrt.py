"""This machine's NVIDIA GPU under TensorRT, through its Python interface."""

from __future__ import annotations

from dataclasses import replace

from hqp import nvml
from hqp.devices import _nvidia
from hqp.records import Device
from hqp.transport import Host

device = Device(
    runtime="tensorrt",
    # The GPU's own are not counted; one of this machine's starts each inference.
    threads=1,
    precisions=("fp32", "fp16", "int8"),
    # Kernels for INT8 read channels in groups of this size, and TensorRT fills a group up.
    policy=replace(_nvidia.POLICY, channel_multiple=8),
    summary="this machine's NVIDIA GPU, TensorRT",
    stand_in="cpu_onnxruntime_qdq",
    rails=nvml.RAILS,
)


def facts(host: Host) -> dict[str, str]:
    """The GPU, its driver and its power limit."""
    return _nvidia.facts(host)
