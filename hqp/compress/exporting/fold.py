"""What torch's exporter leaves in a graph and no runtime needs: constants in the making, branches that are decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable, Mapping

import numpy as np
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hqp.onnx_rules import WEIGHTED

# What the second and third input of a weighted node is called; others go by their number.
PLACES = {1: "weight", 2: "bias"}


def fold(graph: GraphProto, opset: int, shapes: Mapping[str, TensorProto]) -> bool:
    """Gives each node its own constants, named after it, and tells whether a branch was decided by them.

    Torch merges weights of equal value, reads the copies through Identity nodes, keeps scalars in Constant nodes, and
    leaves the arithmetic that makes a padding's widths or a chunk's ends. A quantiser needs the weights apart, since
    each has its own scale, and must see what is constant; a runtime's shapes are static only where these are numbers.
    ``shapes`` is what each Shape node gives, by the name of its output. Of an If whose condition is known the branch
    taken stands in its place, and its Shape nodes are among those still to be told.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    constants.update(shapes)
    waiting, kept, decided = deque(graph.node), [], False
    while waiting:
        node = waiting.popleft()
        if node.output[0] in shapes:
            continue
        if node.op_type == "If" and node.input[0] in constants:
            condition = bool(numpy_helper.to_array(constants[node.input[0]]))
            # The branch may be constant in turn: its nodes are looked at next, in their order.
            waiting.extendleft(reversed(_taken(node, condition)))
            decided = True
            continue
        made = _made_constant(node, opset, constants)
        if made is None:
            kept.append(node)
        else:
            constants.update(made)
    for node in kept:
        _pad_explicitly(node)
    kept = _without_norms(kept, constants, {value.name for value in graph.output})
    owned = [tensor for node in kept for tensor in _own(node, constants)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(owned)
    return decided


def _without_norms(
    nodes: list[NodeProto], constants: dict[str, TensorProto], outputs: Collection[str]
) -> list[NodeProto]:
    """The nodes without those normalisations of which a convolution behind them, which alone takes them, does the work.

    It pads with nothing, since zeros would be normalised too.
    """
    takers: dict[str, list[NodeProto]] = {}
    for node in nodes:
        for name in node.input:
            takers.setdefault(name, []).append(node)
    left = []
    for node in nodes:
        behind = [] if node.output[0] in outputs else takers.get(node.output[0], [])
        if node.op_type == "BatchNormalization" and len(behind) == 1 and _takes_affine(behind[0], constants):
            _take_affine(behind[0], node, constants)
        else:
            left.append(node)
    return left


def _takes_affine(node: NodeProto, constants: Mapping[str, TensorProto]) -> bool:
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    ungrouped = node.op_type == "Conv" and given.get("group", 1) == 1 and node.input[1] in constants
    return ungrouped and not any(given.get("pads", ()))


def _take_affine(node: NodeProto, norm: NodeProto, constants: dict[str, TensorProto]) -> None:
    """Puts a normalisation into the weights and the bias of the convolution that takes what it gives."""
    gamma, beta, mean, variance = (numpy_helper.to_array(constants[name]).astype(np.float64) for name in norm.input[1:])
    epsilon = next((attribute.f for attribute in norm.attribute if attribute.name == "epsilon"), 1e-5)
    scale = gamma / np.sqrt(variance + epsilon)
    shift = beta - scale * mean
    weight = numpy_helper.to_array(constants[node.input[1]]).astype(np.float64)
    bias = np.zeros(len(weight))
    if len(node.input) > 2:
        bias = numpy_helper.to_array(constants[node.input[2]]).astype(np.float64)
    by_input = (1, -1, *[1] * (weight.ndim - 2))
    shifted = (weight * shift.reshape(by_input)).reshape(len(weight), -1).sum(1)
    # Under names of their own: others may take the weights as they were.
    for place, values in ((1, weight * scale.reshape(by_input)), (2, bias + shifted)):
        name = f"{node.name}/{PLACES[place]} behind {norm.name}"
        constants[name] = numpy_helper.from_array(values.astype(np.float32), name)
        del node.input[place : place + 1]
        node.input.insert(place, name)
    node.input[0] = norm.input[0]


def _made_constant(node: NodeProto, opset: int, constants: Mapping[str, TensorProto]) -> dict[str, TensorProto] | None:
    """What a node gives, by name of output, where that is constant; ``None`` where it depends on the image."""
    if node.op_type == "Constant":
        return {node.output[0]: node.attribute[0].t}
    if node.op_type == "Identity" and node.input[0] in constants:
        return {node.output[0]: constants[node.input[0]]}
    # An input that is left out has an empty name.
    if node.input and all(not name or name in constants for name in node.input):
        return _computed(node, opset, constants)
    return None


def _taken(node: NodeProto, condition: bool) -> list[NodeProto]:
    """The nodes of the branch that an If takes, which give what the If gave."""
    name = "then_branch" if condition else "else_branch"
    branch = next(attribute.g for attribute in node.attribute if attribute.name == name)
    constants = [helper.make_node("Constant", [], [tensor.name], value=tensor) for tensor in branch.initializer]
    taken = [*constants, *branch.node]
    # Names of one branch may be those of another.
    names = {output: f"{node.name}/{output}" for inner in taken for output in inner.output}
    names |= {inner.name: outer for inner, outer in zip(branch.output, node.output, strict=True)}
    _rename(taken, names)
    return taken


def _rename(nodes: Iterable[NodeProto], names: Mapping[str, str]) -> None:
    """Gives values other names, within inner branches too."""
    for node in nodes:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g.node, names)


def _computed(node: NodeProto, opset: int, constants: Mapping[str, TensorProto]) -> dict[str, TensorProto]:
    """What a node gives whose every input is constant."""
    given = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
    values = ReferenceEvaluator(node, opsets={"": opset}).run(None, given)
    computed = {}
    for name, value in zip(node.output, values, strict=True):
        computed[name] = numpy_helper.from_array(np.asarray(value), name)
    return computed


def _pad_explicitly(node: NodeProto) -> None:
    """Replaces a convolution's ``auto_pad``, which onnxruntime does not take where there is dilation.

    Torch's "same" is of a stride of 1, and pads the odd one last; its "valid" pads nothing.
    """
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    mode = given.get("auto_pad", b"NOTSET")
    if node.op_type != "Conv" or mode == b"NOTSET":
        return
    kernel = given["kernel_shape"]
    dilations = given.get("dilations", [1] * len(kernel))
    widths = [0] * len(kernel)
    if mode != b"VALID":
        widths = [dilation * (size - 1) for size, dilation in zip(kernel, dilations, strict=True)]
    before = [width // 2 for width in widths]
    after = [width - width // 2 for width in widths]
    kept = [attribute for attribute in node.attribute if attribute.name not in ("auto_pad", "pads")]
    del node.attribute[:]
    node.attribute.extend([*kept, helper.make_attribute("pads", before + after)])


def _own(node: NodeProto, constants: Mapping[str, TensorProto]) -> list[TensorProto]:
    """Copies of the constants that a node takes, which it now takes by names of its own."""
    places = PLACES if node.op_type in WEIGHTED else {}
    owned = []
    for place, name in enumerate(node.input):
        if name not in constants:
            continue
        tensor = TensorProto()
        tensor.CopyFrom(constants[name])
        tensor.name = f"{node.name}.{places.get(place, place)}"
        node.input[place] = tensor.name
        owned.append(tensor)
    return owned
