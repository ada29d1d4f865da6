"""Hard-sigmoid and hard-swish of what a convolution gives in INT8, in integers: onnxruntime has no kernels for them.

Left in float each is three or four operators, from INT8 and back. But hard-sigmoid, x/6 + 1/2 held within 0 and 1, is
linear between its knees, -3 and 3. Where x has the step 3/k, and its lowest integer stands for -3, hard-sigmoid(x) is
the same integer, 2k where it is above that, read with the step 1/2k: no operator at all where nothing is above. And
hard-swish, x times that, is a ``Clip`` and a ``Mul``, which runs in INT8. Nothing is lost by the range: below -3 both
give 0 whatever x is, and a step has less to span.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import GraphProto, NodeProto, helper, numpy_helper

# Below the knee both give 0; above it hard-sigmoid gives 1, and hard-swish what it is given.
KNEE = 3.0

STEPS = 255
# From 0 to the knee for hard-sigmoid: the fewest with which no integer stands for more than the knee.
SIGMOID_STEPS = 128

Stored = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class _Quantised:
    """An activation in INT8: its integers, what dequantises them, and how many steps there are from 0 to the knee."""

    integers: str
    dequantise: NodeProto
    steps_to_knee: int
    # What stands for the lowest value: 0, or -128 where integers are signed.
    lowest: npt.NDArray[Any]


def spans(graph: GraphProto, ranges: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The ranges of a float graph's tensors, where those that such an activation alone reads start at the knee.

    Their width is a whole number of steps of 3/k, as ``in_integers`` needs them.
    """
    readers = _readers(graph)
    spanned = dict(ranges)
    for node in graph.node:
        source = node.input[0] if node.input else ""
        if _is_known(node) and len(readers[source]) == 1 and source in ranges:
            k = SIGMOID_STEPS if node.op_type == "HardSigmoid" else _swish_steps(ranges[source][1])
            spanned[source] = -KNEE, (STEPS - k) * KNEE / k
    return spanned


def _swish_steps(highest: float) -> int:
    """The most steps from 0 to the knee with which a range from the lower knee on still reaches ``highest``."""
    k = int(STEPS * KNEE / (max(0.0, highest) + KNEE))
    return min(STEPS - 1, max(1, k))


def in_integers(graph: GraphProto) -> None:
    """Has such activations of a quantised graph computed in integers, in place.

    A hard-swish whose result anything reads in float stays as it is: it would have one operator more.
    """
    readers = _readers(graph)
    made_by = {output: node for node in graph.node for output in node.output}
    stored: Stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    nodes: list[NodeProto] = []
    for node in graph.node:
        is_alone = _is_known(node) and len(readers[node.input[0]]) == 1
        quantised = _quantised(node, made_by, stored) if is_alone else None
        all_quantise = all(reader.op_type == "QuantizeLinear" for reader in readers.get(node.output[0], ()))
        if quantised is None or (node.op_type == "HardSwish" and not all_quantise):
            nodes.append(node)
        elif node.op_type == "HardSigmoid":
            # Of what this gave there was one reader; left in place it would run.
            nodes.remove(quantised.dequantise)
            nodes.append(_read_as_sigmoid(graph, quantised, quantised.integers, node.output[0], node.name))
        else:
            nodes += _swish(graph, node, quantised)
    del graph.node[:]
    graph.node.extend(nodes)


def _is_known(node: NodeProto) -> bool:
    """Whether a node is hard-swish, or hard-sigmoid as PyTorch has it."""
    if node.op_type == "HardSigmoid":
        slope = next((attribute.f for attribute in node.attribute if attribute.name == "alpha"), 0.2)
        return bool(np.isclose(slope, 0.5 / KNEE))
    return node.op_type == "HardSwish"


def _readers(graph: GraphProto) -> dict[str, list[NodeProto]]:
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    return readers


def _quantised(node: NodeProto, made_by: dict[str, NodeProto], stored: Stored) -> _Quantised | None:
    """What an activation reads, where that is INT8 whose range was made for it."""
    dequantise = made_by.get(node.input[0])
    if dequantise is None or dequantise.op_type != "DequantizeLinear":
        return None
    integers, scale, zero_point = dequantise.input
    zero = stored[zero_point]
    lowest = np.asarray(np.iinfo(zero.dtype).min, zero.dtype)
    steps_to_knee = int(zero) - int(lowest)
    if not np.isclose(steps_to_knee * float(stored[scale]), KNEE):
        return None
    return _Quantised(integers, dequantise, steps_to_knee, lowest)


def _swish(graph: GraphProto, node: NodeProto, x: _Quantised) -> Iterator[NodeProto]:
    """x times hard-sigmoid of x, of which the highest is cut off unless no integer is above it."""
    most = 2 * x.steps_to_knee
    clipped = x.integers
    if most < STEPS:
        clipped = f"{node.name}/clipped"
        highest = _store(graph, f"{node.name}/highest", x.lowest + np.asarray(most, x.lowest.dtype))
        yield helper.make_node("Clip", [x.integers, "", highest], [clipped], f"{node.name}/Clip")
    gate = f"{node.name}/sigmoid"
    yield _read_as_sigmoid(graph, x, clipped, gate, f"{node.name}/DequantizeLinear")
    yield helper.make_node("Mul", [x.dequantise.output[0], gate], list(node.output), f"{node.name}/Mul")


def _read_as_sigmoid(graph: GraphProto, x: _Quantised, integers: str, result: str, name: str) -> NodeProto:
    step = np.asarray(0.5 / x.steps_to_knee, np.float32)
    parameters: Sequence[str] = (_store(graph, f"{name}_step", step), _store(graph, f"{name}_zero", x.lowest))
    return helper.make_node("DequantizeLinear", [integers, *parameters], [result], name)


def _store(graph: GraphProto, name: str, value: npt.NDArray[Any]) -> str:
    graph.initializer.append(numpy_helper.from_array(value, name))
    return name
