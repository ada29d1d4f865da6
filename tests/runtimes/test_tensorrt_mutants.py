"""Thirty changed files: NVIDIA's parser and the lint say the same of each, or it is said why the lint is stricter."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hqp import onnx_rules
from hqp.errors import HqpError
from hqp.runtimes._tensorrt import nvidia

pytestmark = pytest.mark.skipif(not nvidia.installed(), reason="needs TensorRT for RTX: nox -s tensorrt-contract")

Change = Callable[[ModelProto], None]


def quantised() -> ModelProto:
    """Two convolutions in QDQ form with biases in float, and the sum of what they give."""
    arrays: dict[str, Any] = {
        "scale": np.array(0.1, np.float32),
        "zero": np.array(0, np.int8),
        "weight": (np.arange(16) % 7 - 3).astype(np.int8).reshape(4, 4, 1, 1),
        "weight_scale": np.full(4, 0.5, np.float32),
        "weight_zero": np.zeros(4, np.int8),
        "bias": np.ones(4, np.float32),
    }
    arrays |= {f"other_{name}": arrays[name] for name in ("weight", "weight_scale", "weight_zero")}
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["bytes"], "q"),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["again"], "dq"),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["filter"], "w", axis=0),
        helper.make_node("Conv", ["again", "filter", "bias"], ["given"], "conv"),
        helper.make_node("Relu", ["given"], ["positive"], "relu"),
        helper.make_node("QuantizeLinear", ["positive", "scale", "zero"], ["narrow"], "q2"),
        helper.make_node("DequantizeLinear", ["narrow", "scale", "zero"], ["back"], "dq2"),
        helper.make_node("DequantizeLinear", [f"other_{name}" for name in WEIGHT], ["other"], "w2", axis=0),
        helper.make_node("Conv", ["back", "other"], ["deep"], "conv2"),
        helper.make_node("Add", ["deep", "back"], ["logits"], "sum"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4, 5, 5]) for name in ("input", "logits")]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


WEIGHT = ("weight", "weight_scale", "weight_zero")


def node(model: ModelProto, name: str) -> NodeProto:
    return next(node for node in model.graph.node if node.name == name)


def put(name: str, array: Any) -> Change:
    def change(model: ModelProto) -> None:
        tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
        tensor.CopyFrom(numpy_helper.from_array(np.asarray(array), name))

    return change


def reads(name: str, index: int, value: str) -> Change:
    def change(model: ModelProto) -> None:
        node(model, name).input[index] = value

    return change


def along(name: str, axis: int) -> Change:
    def change(model: ModelProto) -> None:
        node(model, name).attribute[0].i = axis

    return change


def opset(version: int) -> Change:
    def change(model: ModelProto) -> None:
        model.opset_import[0].version = version

    return change


def integer_bias(model: ModelProto) -> None:
    put("bias", np.ones(4, np.int32))(model)
    model.graph.initializer.append(numpy_helper.from_array(np.full(4, 0.05, np.float32), "bias_scale"))
    model.graph.initializer.append(numpy_helper.from_array(np.zeros(4, np.int32), "bias_zero"))
    reader = helper.make_node("DequantizeLinear", ["bias", "bias_scale", "bias_zero"], ["summand"], "b", axis=0)
    model.graph.node.insert(0, reader)
    node(model, "conv").input[2] = "summand"


def without_zero_point(model: ModelProto) -> None:
    del node(model, "w").input[2]


def without_bias(model: ModelProto) -> None:
    del node(model, "conv").input[2]


def activations_by_channel(model: ModelProto) -> None:
    put("scale", np.full(4, 0.1, np.float32))(model)
    put("zero", np.zeros(4, np.int8))(model)


def unsigned_activations(model: ModelProto) -> None:
    put("zero", np.uint8(128))(model)


def renamed(model: ModelProto) -> None:
    node(model, "conv").name = "anything"


def dynamic_batch(model: ModelProto) -> None:
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"


def second_output(model: ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("deep", TensorProto.FLOAT, [1, 4, 5, 5]))


def foreign_operator(model: ModelProto) -> None:
    node(model, "relu").op_type, node(model, "relu").domain = "Gelu", "com.microsoft"
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


def unknown_operator(model: ModelProto) -> None:
    node(model, "relu").op_type = "NoSuchOperator"


def integer_convolution(model: ModelProto) -> None:
    """The second convolution in ONNX's other form, which TensorRT has no layer for."""
    for name in ("w2", "sum", "dq2", "conv2"):
        model.graph.node.remove(node(model, name))
    tail = [
        helper.make_node("ConvInteger", ["narrow", "other_weight"], ["sums"], "conv2"),
        helper.make_node("Cast", ["sums"], ["logits"], "cast", to=TensorProto.FLOAT),
    ]
    model.graph.node.extend(tail)


def float_weights(model: ModelProto) -> None:
    """Weights in FP32 behind a QuantizeLinear."""
    put("weight", np.ones((4, 4, 1, 1), np.float32))(model)
    model.graph.node.insert(0, helper.make_node("QuantizeLinear", [*WEIGHT], ["stored"], "wq", axis=0))
    node(model, "w").input[0] = "stored"


def wrong_shape(model: ModelProto) -> None:
    put("weight", np.ones((4, 3, 1, 1), np.int8))(model)


BOTH_TAKE: dict[str, Change] = {
    "as it is": lambda model: None,
    "another name": renamed,
    "no bias": without_bias,
    "axis from the end": along("w", -4),
    "one scale in a list": put("scale", np.array([0.1], np.float32)),
    "a scale of 1e-30": put("scale", np.float32(1e-30)),
    "opset 13": opset(13),
    "opset 16": opset(16),
}
BOTH_REFUSE: dict[str, Change] = {
    "int32 bias": integer_bias,
    "zero point 3": put("zero", np.int8(3)),
    "zero point -128": put("zero", np.int8(-128)),
    "unsigned zero point 128": unsigned_activations,
    "zero point 1 of one filter": put("weight_zero", np.array([0, 0, 1, 0], np.int8)),
    "scale 0": put("scale", np.float32(0)),
    "scale 0 of one filter": put("weight_scale", np.array([0.5, 0, 0.5, 0.5], np.float32)),
    "negative scale": put("scale", np.float32(-0.1)),
    "negative scale of one filter": put("weight_scale", np.array([0.5, 0.5, 0.5, -0.5], np.float32)),
    "NaN for a scale": put("scale", np.float32("nan")),
    "five scales for four channels": put("weight_scale", np.full(5, 0.5, np.float32)),
    "three zero points for four scales": put("weight_zero", np.zeros(3, np.int8)),
    "no operator": unknown_operator,
    "a convolution of integers": integer_convolution,
    "a value that nothing gives": reads("conv2", 0, "nothing"),
    "a filter of another shape": wrong_shape,
}
# Where the lint is stricter than this parser, and why.
STRICTER: dict[str, tuple[Change, str]] = {
    "infinite scale": (put("scale", np.float32("inf")), "every value behind it is 0 or NaN"),
    "axis 1": (along("w", 1), "the layer is not INT8"),
    "no zero point": (without_zero_point, "TensorRT 8 demands it"),
    "unsigned zero point 0": (put("zero", np.uint8(0)), "TensorRT 8 and 10 have no unsigned INT8"),
    "opset 12": (opset(12), "its Q and DQ have no axis"),
    "opset 19": (opset(19), "TensorRT 8.5 reads 17 at most"),
    "batch of any size": (dynamic_batch, "a session has one shape"),
    "two outputs": (second_output, "a session gives logits alone"),
    "weights in float": (float_weights, "an artefact stores INT8 as INT8, a quarter of the bytes"),
    "scales by channel of an activation": (activations_by_channel, "INT8 convolutions have one scale for their input"),
    "an operator of one runtime": (foreign_operator, "onnxruntime and OpenVINO judge the same file"),
    "identity in float": (reads("sum", 1, "positive"), "the sum is not fused with its convolution"),
}


def linted(file: Path) -> bool:
    """Whether the lint finds anything."""
    try:
        return bool(onnx_rules.lint(file, symmetric_only=True))
    except HqpError:
        return True


def test_the_lint_says_what_the_parser_says_or_is_stricter_for_a_reason(tmp_path: Path) -> None:
    changes = {**BOTH_TAKE, **BOTH_REFUSE, **{name: change for name, (change, _) in STRICTER.items()}}
    assert len(changes) >= 30
    files = []
    for name, change in changes.items():
        model = quantised()
        change(model)
        files.append(tmp_path / f"{name}.onnx")
        files[-1].write_bytes(model.SerializeToString())
    answers = nvidia.ask(files)
    refused = {file.stem for file, answer in zip(files, answers, strict=True) if answer.refusals}
    assert refused == {*BOTH_REFUSE}
    assert {file.stem for file in files if linted(file)} == {*BOTH_REFUSE, *STRICTER}


def test_a_refusal_names_the_node_and_the_reason(tmp_path: Path) -> None:
    model = quantised()
    put("zero", np.int8(3))(model)
    file = tmp_path / "model.onnx"
    file.write_bytes(model.SerializeToString())
    with pytest.raises(HqpError, match=r"NVIDIA's parser refuses .*model\.onnx: QuantizeLinear q: .*zero point"):
        nvidia.require_parsed(file)
