"""Jetson TX2 and TX2 NX (Pascal, compute capability 6.2) with JetPack 4: TensorRT 8.2, no Python that HQP runs in."""

from __future__ import annotations

from hqp.devices._jetson.board import Board
from hqp.records import Device, Policy
from hqp.transport import Host

board = Board("Jetson TX2", ("p3310-", "p3636-", "p2771-"))
# No INT8 on this GPU: a QDQ file fails to build there, and INT8 with other tools is slower than FP16.
device = Device(
    runtime="trtexec",
    threads=1,
    precisions=("fp32", "fp16"),
    replaces={"int8": "fp16"},
    policy=Policy(activations="int8", symmetric=True, float_results=True, channel_multiple=8),
    summary="Jetson TX2, TensorRT",
    stand_in="cpu_onnxruntime_qdq",
    rails=("VDD_IN",),
)
# How it is driven from another machine.
elsewhere = "trtexec"


def facts(host: Host) -> dict[str, str]:
    """The module, its releases, power mode and clocks; a board that is not steady is refused."""
    return board.facts(host)


def limit(host: Host) -> str | None:
    """What slows the GPU now."""
    return board.limit(host)


def recognises(host: Host) -> bool:
    """Whether the host is this kind of board."""
    return board.recognises(host)
