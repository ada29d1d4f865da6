"""What a runtime that takes a file is slow with: told as a note, since such a file is right all the same."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hqp import onnx_rules

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto

# What takes a runtime long on whole images, by the runtime. Measured twice on 2026-11-28, in FP32 and in INT8: three
# convolutions of 64 channels at 48×48 with an activation function behind each, one thread, AVX-512 with VNNI.
SLOW_OPERATORS = {
    "onnxruntime": {
        "Softplus": "with it three convolutions took 6 to 16 ms in INT8, with Relu 0.13",
        "PRelu": "with it three convolutions took 3 to 6 ms in INT8, with Relu 0.13",
        "Sigmoid": "with a swish three convolutions took 0.26 ms in FP32 and 0.39 in INT8, with HardSwish 0.21 in INT8",
        "Erf": "with a GELU three convolutions took 0.38 ms in FP32 and 0.59 in INT8, with HardSwish 0.21 in INT8",
    },
    "openvino": {
        "Softplus": "with it three convolutions took 0.39 to 0.49 ms in INT8, with Relu 0.14",
        "Sigmoid": "with a swish three convolutions took 0.24 to 0.29 ms in INT8, with HardSwish 0.16",
    },
}
# The kernels of ONNX Runtime for INT8 work on blocks of so many channels.
BLOCK = 8


def slow(path: Path, runtime: str) -> tuple[str, ...]:
    """What a runtime is known to be slow with, a sentence for each kind, with how many nodes there are and the first.

    Raises:
        HqpError: there is no such file.
        Damaged: the file is cut off, or no ONNX file.
    """
    model = onnx_rules.read(path)
    shapes = onnx_rules.static_shapes(model)
    reasons = SLOW_OPERATORS.get(runtime, {})
    found: dict[str, list[str]] = {}
    for node in model.graph.node:
        # On one pixel, as in a squeeze-and-excitation, nothing is slow.
        pixels = np.prod(shapes.get(node.output[0], ())[2:])
        if node.op_type in reasons and pixels > 1:
            found.setdefault(f"{node.op_type}: {reasons[node.op_type]}", []).append(node.name)
    if runtime == "onnxruntime":
        for node, reason in _slow_groups(model.graph):
            found.setdefault(reason, []).append(node.name)
    return tuple(
        f"{runtime} is slow with {onnx_rules.layer_of(names[0]) or names[0]}{_others(names)}, {reason}"
        for reason, names in found.items()
    )


def _others(names: list[str]) -> str:
    return f" and {len(names) - 1} more" if len(names) > 1 else ""


def _slow_groups(graph: GraphProto) -> Iterator[tuple[NodeProto, str]]:
    """INT8 convolutions in groups that ONNX Runtime computes slower than in FP32, with the reason."""
    producers, stored = {name: node for node in graph.node for name in node.output}, onnx_rules.constants(graph)
    for node in graph.node:
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        if not onnx_rules.is_int8_convolution(node, producers) or groups == 1:
            continue
        channels, of_group = stored[node.input[1]].dims[:2]
        if of_group > 1:
            yield node, "a convolution in groups: with 8 of 8 channels INT8 took 0.61 ms and FP32 0.50"
        elif channels % BLOCK:
            yield (
                node,
                f"a depthwise convolution of no multiple of {BLOCK} channels: with 60 INT8 took 0.23 ms and FP32 0.17",
            )
