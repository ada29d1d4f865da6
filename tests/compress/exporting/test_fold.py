"""What torch leaves in a graph and no runtime needs is folded, and the rest computes the same."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import GraphProto, NodeProto, TensorProto, helper, numpy_helper

from hqp.compress.exporting.fold import fold

OPSET = 17


def constant(name: str, values: object) -> TensorProto:
    return numpy_helper.from_array(np.asarray(values, np.float32), name)


def graph(nodes: list[NodeProto], stored: list[TensorProto], output: str = "y") -> GraphProto:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3])
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, [1, 3])
    return helper.make_graph(nodes, "net", [image], [made], stored)


def stored(made: GraphProto) -> dict[str, list[float]]:
    return {tensor.name: numpy_helper.to_array(tensor).tolist() for tensor in made.initializer}


def test_merged_weights_come_apart_each_named_after_its_node() -> None:
    nodes = [
        helper.make_node("Identity", ["w"], ["copy"]),
        helper.make_node("MatMul", ["x", "w"], ["h"], "first"),
        helper.make_node("MatMul", ["h", "copy"], ["y"], "second"),
    ]
    made = graph(nodes, [constant("w", np.eye(3))])
    assert fold(made, OPSET, {}) is False
    assert [(node.op_type, list(node.input)) for node in made.node] == [
        ("MatMul", ["x", "first.weight"]),
        ("MatMul", ["h", "second.weight"]),
    ]
    assert stored(made) == {"first.weight": np.eye(3).tolist(), "second.weight": np.eye(3).tolist()}


def test_arithmetic_of_constants_is_done_and_named_by_its_place() -> None:
    nodes = [
        helper.make_node("Constant", [], ["two"], value=constant("", [2.0])),
        helper.make_node("Mul", ["two", "w"], ["four"]),
        helper.make_node("Add", ["x", "four"], ["y"], "add"),
    ]
    made = graph(nodes, [constant("w", [2.0])])
    fold(made, OPSET, {})
    assert [(node.op_type, list(node.input)) for node in made.node] == [("Add", ["x", "add.1"])]
    assert stored(made) == {"add.1": [4.0]}


def test_a_shape_is_what_was_told_of_it() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Reshape", ["x", "shape"], ["y"], "reshape"),
    ]
    made = graph(nodes, [])
    fold(made, OPSET, {"shape": numpy_helper.from_array(np.array([1, 3]), "shape")})
    assert [node.op_type for node in made.node] == ["Reshape"]
    assert stored(made) == {"reshape.1": [1, 3]}


def test_of_a_decided_if_the_branch_that_is_taken_stands_in_its_place() -> None:
    inside = helper.make_tensor_value_info("inner", TensorProto.FLOAT, [1, 3])
    branches = {}
    for name, kind in (("then_branch", "Relu"), ("else_branch", "Neg")):
        branches[name] = helper.make_graph([helper.make_node(kind, ["x"], ["inner"], kind)], name, [], [inside])
    condition = numpy_helper.from_array(np.array(False), "condition")
    nodes = [helper.make_node("If", ["condition"], ["y"], "if", **branches)]
    made = graph(nodes, [condition])
    assert fold(made, OPSET, {}) is True
    assert [(node.op_type, list(node.input), list(node.output)) for node in made.node] == [("Neg", ["x"], ["y"])]


def test_same_padding_is_written_out_the_odd_one_last() -> None:
    weights = constant("w", np.ones((1, 1, 2, 3)))
    for mode, pads in (("SAME_UPPER", [0, 2, 1, 2]), ("VALID", [0, 0, 0, 0])):
        node = helper.make_node("Conv", ["x", "w"], ["y"], "conv", auto_pad=mode, kernel_shape=[2, 3], dilations=[1, 2])
        made = graph([node], [weights])
        fold(made, OPSET, {})
        given = {attribute.name: onnx.helper.get_attribute_value(attribute) for attribute in made.node[0].attribute}
        assert "auto_pad" not in given and given["pads"] == pads


def normalised(pads: list[int], takers: int = 1) -> GraphProto:
    """A normalisation of three channels and the convolutions that take it."""
    nodes = [
        helper.make_node("Relu", ["x"], ["r"], "relu"),
        helper.make_node("BatchNormalization", ["r", "g", "b", "m", "v"], ["n"], "norm", epsilon=0.25),
    ]
    outputs = [f"y{number}" for number in range(takers)]
    nodes += [helper.make_node("Conv", ["n", "w", "c"], [name], name, pads=pads) for name in outputs]
    constants = {"g": [2, 1, 0], "b": [0, 1, 3], "m": [1, 0, 5], "v": [0.75, 3.75, 0.75], "c": [10, 20]}
    stored = [constant(name, values) for name, values in constants.items()]
    stored.append(constant("w", np.arange(6).reshape(2, 3, 1, 1)))
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 2, 2])
    made = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs]
    return helper.make_graph(nodes, "net", [image], made, stored)


def test_a_normalisation_goes_into_the_convolution_behind_it() -> None:
    made = normalised([0, 0, 0, 0])
    fold(made, OPSET, {})
    assert [node.op_type for node in made.node] == ["Relu", "Conv"]
    # Channels are scaled by 2, 1/2 and 0, and shifted by -2, 1 and 3.
    assert stored(made)["y0.weight"] == [[[[0.0]], [[0.5]], [[0.0]]], [[[6.0]], [[2.0]], [[0.0]]]]
    assert stored(made)["y0.bias"] == [10 + 0 + 1 + 6, 20 - 6 + 4 + 15]


def test_a_normalisation_stays_where_zeros_are_put_around_it_or_another_takes_it() -> None:
    for made in (normalised([1, 1, 1, 1]), normalised([0, 0, 0, 0], takers=2)):
        fold(made, OPSET, {})
        assert [node.op_type for node in made.node][:2] == ["Relu", "BatchNormalization"]
