"""What torch's exporter leaves in a graph and no runtime needs: constants in the making, branches that are decided."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

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
    owned = [tensor for node in kept for tensor in _own(node, constants)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(kept)
    graph.initializer.extend(owned)
    return decided


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
