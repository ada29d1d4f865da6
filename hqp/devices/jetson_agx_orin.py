"""Jetson AGX Orin (Ampere, compute capability 8.7) with JetPack 5 to 7."""

from __future__ import annotations

from hqp.devices._jetson.board import Board
from hqp.power import ALL
from hqp.records import Device, Policy
from hqp.transport import Host

board = Board("Jetson AGX Orin", ("p3701-",))
# TensorRT pads INT8 channels to the next multiple of 32, so that fewer removed ones gain nothing. It has no rail for
# the whole module.
device = Device(
    runtime="tensorrt",
    threads=1,
    precisions=("fp32", "fp16", "int8"),
    policy=Policy(activations="int8", symmetric=True, float_results=True, channel_multiple=32),
    summary="Jetson AGX Orin, TensorRT",
    stand_in="cpu_onnxruntime_qdq",
    rails=ALL,
)
# How it is driven from another machine, which has none of its Python.
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
