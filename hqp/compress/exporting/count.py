"""Parameters and multiply-adds of an ONNX file, the same for an FP32 file and for its QDQ form."""

from __future__ import annotations

import math
from pathlib import Path

from onnx import NodeProto

from hqp import onnx_rules
from hqp.errors import HqpError
from hqp.onnx_rules import WEIGHTED


def parameters(path: Path) -> int:
    """The number of weights and biases of convolutions and matrix products; scales and zero points are not counted.

    A weight that two nodes share counts once.
    """
    graph = onnx_rules.read(path).graph
    behind = onnx_rules.constants(graph)
    names = {name for node in graph.node if node.op_type in WEIGHTED for name in node.input}
    return sum(math.prod(behind[name].dims) for name in names if name in behind)


def macs(path: Path) -> int:
    """The multiply-adds of one inference in convolutions and matrix products, biases not counted.

    Raises:
        HqpError: a shape is not static.
    """
    model = onnx_rules.read(path)
    shapes = onnx_rules.static_shapes(model)
    total = 0
    for node in model.graph.node:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            left, right, result = (shapes.get(name, (0,)) for name in (*node.input[:2], node.output[0]))
            if not all((*left, *right, *result)):
                raise HqpError(f"{path}: the shapes at {node.name} are not static", "a file that hqp compress wrote")
            # One product for each weight of a filter, or for each element of the row that is multiplied.
            total += math.prod(result) * (math.prod(right[1:]) if node.op_type == "Conv" else _inner(node, left))
    return total


def _inner(node: NodeProto, left: tuple[int, ...]) -> int:
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return left[0] if transposed else left[-1]
