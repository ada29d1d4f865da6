"""What each layer of a file takes, of the times that a runtime's profiler tells by operator.

An operator carries the name of an ONNX node or of its result, to which runtimes add to their liking. A quantiser counts
to the layers that read what it gives, an activation function to the layer before it. What a runtime puts in between and
names freely, such as a reordering of memory, counts to the layer that it runs next.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import onnx
from onnx import GraphProto, NodeProto

from hqp.onnx_rules import IN_INT8, layer_of

QUANTISERS = ("QuantizeLinear", "DequantizeLinear")
# Of one value each, so that they belong to what gives them.
ACTIVATIONS = ("Clip", "Elu", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "PRelu", "Relu", "Sigmoid", "Tanh")

# The layers that share an operator; none where it belongs to no layer.
Owners = dict[str, tuple[str, ...]]


def layer_ms(file: Path, operator_ms: Mapping[str, float]) -> dict[str, float]:
    """The ms of each convolution and matrix product of a file, by its layer, with what stands around it.

    ``operator_ms`` are in the order in which they run.
    """
    graph = onnx.load(file, load_external_data=False).graph
    owners = _owners(graph)
    times = {layer_of(node.name): 0.0 for node in graph.node if node.op_type in IN_INT8}
    for layers, ms in _owned(operator_ms, owners):
        for layer in layers:
            times[layer] += ms / len(layers)
    return times


def _owned(operator_ms: Mapping[str, float], owners: Owners) -> Iterator[tuple[tuple[str, ...], float]]:
    """The owners of each operator with what it takes; one that is in no file waits for the next layer."""
    waiting = 0.0
    for operator, ms in operator_ms.items():
        name = _longest_inside(operator, owners)
        if name is None:
            waiting += ms
        elif owners[name]:
            yield owners[name], ms + waiting
            waiting = 0.0
        # What belongs to no layer, a pool say, ends no waiting: it asks for no other order of memory.


def _longest_inside(operator: str, owners: Owners) -> str | None:
    if operator in owners:
        return operator
    # A name that is no path, such as a number, may stand in anything by chance.
    inside = (name for name in owners if operator.startswith(name) or ("/" in name and name in operator))
    return max(inside, key=len, default=None)


def _owners(graph: GraphProto) -> Owners:
    """The layers that the names of a graph's nodes and of their results belong to."""
    made_by = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[NodeProto]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    owners: Owners = {}
    for node in graph.node:
        layers = tuple(dict.fromkeys(_of_node(node, made_by, readers)))
        owners.update(dict.fromkeys((node.name, *node.output), layers))
    owners.pop("", None)
    return owners


def _of_node(
    node: NodeProto, made_by: Mapping[str, NodeProto], readers: Mapping[str, list[NodeProto]]
) -> Iterator[str]:
    if node.op_type in IN_INT8:
        yield layer_of(node.name)
    elif node.op_type in QUANTISERS:
        for reader in readers.get(node.output[0], ()):
            if reader.op_type in (*IN_INT8, *QUANTISERS):
                yield from _of_node(reader, made_by, readers)
    elif node.op_type in (*ACTIVATIONS, "Mul"):
        before = [_before(name, made_by) for name in node.input if name in made_by]
        owners = {tuple(_of_node(one, made_by, readers)) if one is not None else () for one in before}
        # Where both factors are of one layer it is an activation function in integers, else a gate.
        if len(owners) == 1:
            yield from owners.pop()


def _before(tensor: str, made_by: Mapping[str, NodeProto]) -> NodeProto | None:
    """The layer or the activation that gives a tensor, directly or through Q and DQ."""
    node = made_by.get(tensor)
    while node is not None and node.op_type in QUANTISERS:
        node = made_by.get(node.input[0])
    return node if node is not None and node.op_type in (*IN_INT8, *ACTIVATIONS) else None
