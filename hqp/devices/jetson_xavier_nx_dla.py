"""The first deep-learning accelerator of a Jetson Xavier NX, with the GPU for layers that it does not have."""

from __future__ import annotations

from dataclasses import replace

from hqp.devices.jetson_xavier_nx import board
from hqp.devices.jetson_xavier_nx import device as gpu
from hqp.transport import Host

# A DLA core takes no file with Q and DQ, and has no FP32: the FP32 reference runs on the GPU.
device = replace(
    gpu,
    runtime="trtexec",
    precisions=("fp32", "fp16"),
    replaces={"int8": "fp16"},
    dla_core=0,
    summary="Jetson Xavier NX, TensorRT, DLA core 0",
    stand_in="cpu_onnxruntime_qdq",
)
# How it is driven from another machine.
elsewhere = "trtexec"


def facts(host: Host) -> dict[str, str]:
    """The module, its releases, power mode and clocks; a board that is not steady is refused."""
    return board.facts(host)


def limit(host: Host) -> str | None:
    """What slows the GPU now."""
    return board.limit(host)
