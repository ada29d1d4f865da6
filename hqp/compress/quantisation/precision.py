"""Which layers of an ONNX file stay in float where a policy says so, and how the file is kept clear of INT8 there."""

from __future__ import annotations

from collections.abc import Collection

from onnx import GraphProto, NodeProto

from hqp.errors import UnknownName
from hqp.onnx_rules import IN_INT8, layer_of
from hqp.records import Policy, names_layer

# Activations that are nothing but a range.
CLIPPING = ("Clip", "Relu")


def layers_of(graph: GraphProto) -> dict[str, str]:
    """The layer of each convolution and matrix product, by the name of its node, in the order of the graph."""
    return {node.name: layer_of(node.name) for node in graph.node if node.op_type in IN_INT8}


def require_known(patterns: Collection[str], layers: Collection[str]) -> None:
    """Sees that a policy names layers of the trained network: what is left of it without some blocks may lack them.

    Raises:
        UnknownName: a pattern of the policy names none of the layers.
    """
    for pattern in patterns:
        if not any(names_layer(pattern, layer) for layer in layers):
            raise UnknownName("layer of a policy", pattern, dict.fromkeys(layers), fix="")


def in_float(graph: GraphProto, policy: Policy) -> tuple[str, ...]:
    """The names of the convolutions and matrix products that the policy keeps in float, in the order of the graph."""
    return tuple(node for node, layer in layers_of(graph).items() if policy.asks_of(layer) == "float")


def with_activations(graph: GraphProto, names: Collection[str]) -> tuple[str, ...]:
    """These nodes, and the clipping activations before and behind them.

    onnxruntime's quantiser takes such an activation away, since the range of what it gives clips as well. Where a layer
    in float reads what was there before it was quantised, nothing would clip then.
    """
    by_name = {node.name: node for node in graph.node}
    made = {output for name in names for output in by_name[name].output}
    read = {tensor for name in names for tensor in by_name[name].input}
    activations = []
    for node in graph.node:
        is_beside = node.op_type in CLIPPING and (node.input[0] in made or node.output[0] in read)
        if is_beside:
            activations.append(node.name)
    return (*names, *activations)


def keep_clear(graph: GraphProto, names: Collection[str]) -> None:
    """Has these nodes take what was there before it was quantised, and drops the pairs that then serve nobody."""
    if not names:
        return
    made_by = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        if node.name in names:
            for place, tensor in enumerate(node.input):
                node.input[place] = _before(tensor, made_by)
    _drop_unused(graph)


def _before(tensor: str, made_by: dict[str, NodeProto]) -> str:
    """The float tensor that a pair of Q and DQ stands behind; the tensor itself where there is no such pair."""
    dequantised = made_by.get(tensor)
    if dequantised is None or dequantised.op_type != "DequantizeLinear":
        return tensor
    quantised = made_by.get(dequantised.input[0])
    return quantised.input[0] if quantised is not None and quantised.op_type == "QuantizeLinear" else tensor


def _drop_unused(graph: GraphProto) -> None:
    wanted = {output.name for output in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        pair = node.op_type in ("QuantizeLinear", "DequantizeLinear")
        if not pair or wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    used = [tensor for tensor in graph.initializer if tensor.name in wanted]
    del graph.initializer[:]
    graph.initializer.extend(used)
