"""Jetson Xavier NX (Volta, compute capability 7.2) with JetPack 4 or 5: TensorRT 8.2 or 8.5, by its tool."""

from __future__ import annotations

from hqp.devices._jetson.board import Board
from hqp.records import Device, Policy
from hqp.transport import Host

board = Board("Jetson Xavier NX", ("p3668-",))
# TensorRT pads INT8 channels to the next multiple of 32, so that fewer removed ones gain nothing.
device = Device(
    runtime="trtexec",
    threads=1,
    precisions=("fp32", "fp16", "int8"),
    policy=Policy(activations="int8", symmetric=True, float_results=True, channel_multiple=32),
    summary="Jetson Xavier NX, TensorRT",
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
