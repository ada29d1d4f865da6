"""A file typed FP16 or with weights in float is the same network: same INT8, same values up to the type's rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hqp import onnx_rules, typings
from hqp.errors import HqpError

# Small integers and halves, which FP16 holds exactly, so that both typings give the same numbers.
IMAGE = np.arange(-16, 16, dtype=np.float32).reshape(1, 2, 4, 4) / 2


def model(nodes: list[NodeProto], shape: list[int] | None = None, **arrays: Any) -> ModelProto:
    """A network from an image of (1, 2, 4, 4) to logits."""
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2, 4, 4])
    target = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape or [1, 2, 4, 4])
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "small", [source], [target], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def plain() -> ModelProto:
    weight = np.array([[3, -2], [1, 0.5]], np.float32).reshape(2, 2, 1, 1)
    node = helper.make_node("Conv", ["input", "weight", "bias"], ["logits"], "conv")
    return model([node], weight=weight, bias=np.array([0.25, -4], np.float32))


def quantised() -> ModelProto:
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["bytes"], "q"),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["again"], "dq"),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["filter"], "w", axis=0),
        helper.make_node("Conv", ["again", "filter", "bias"], ["logits"], "conv"),
    ]
    return model(
        nodes,
        scale=np.array(0.5, np.float32),
        zero=np.int8(0),
        weight=np.array([[3, -2], [1, 127]], np.int8).reshape(2, 2, 1, 1),
        weight_scale=np.array([0.5, 0.25], np.float32),
        weight_zero=np.zeros(2, np.int8),
        bias=np.array([0.25, -4], np.float32),
    )


def written(network: ModelProto, folder: Path) -> Path:
    file = folder / "model.onnx"
    file.write_bytes(network.SerializeToString())
    return file


def logits(file: Path, image: npt.NDArray[np.float32] = IMAGE) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    result: npt.NDArray[np.float32] = session.run(None, {"input": image})[0]
    return result


def element_types(file: Path) -> dict[str, str]:
    graph = onnx.load(file).graph
    return {tensor.name: TensorProto.DataType.Name(tensor.data_type) for tensor in graph.initializer}


def test_typed_fp16_a_plain_file_gives_the_same_and_keeps_its_interface_and_opset(tmp_path: Path) -> None:
    file, half = written(plain(), tmp_path), tmp_path / "half.onnx"
    typings.typed(file, half)
    assert element_types(half) == {"weight": "FLOAT16", "bias": "FLOAT16"}
    assert np.array_equal(logits(half), logits(file))
    assert onnx_rules.lint(half) == ()
    assert onnx.load(half).opset_import[0].version == 17
    first, last = half.read_bytes(), tmp_path / "again.onnx"
    typings.typed(file, last)
    assert last.read_bytes() == first


def test_typed_fp16_a_quantised_file_has_half_scales_and_the_same_int8(tmp_path: Path) -> None:
    file, half = written(quantised(), tmp_path), tmp_path / "half.onnx"
    typings.typed(file, half)
    floats, bytes_ = dict.fromkeys(("scale", "weight_scale", "bias"), "FLOAT16"), dict.fromkeys(("zero",), "INT8")
    assert element_types(half) == floats | bytes_ | {"weight": "INT8", "weight_zero": "INT8"}
    assert onnx.load(half).opset_import[0].version == typings.HALF_SCALES_OPSET
    assert [node.name for node in onnx.load(half).graph.node][1:-1] == ["q", "dq", "w", "conv"]
    assert np.array_equal(logits(half), logits(file))


def test_what_half_cannot_hold_keeps_its_sign_and_stays_finite_and_above_zero() -> None:
    values = np.array([1e-12, -1e-12, -3.4e38, 7e4, 0, -np.inf, 1.0], np.float32)
    expected = np.array([2**-24, -(2**-24), -65504, 65504, 0, -np.inf, 1], np.float16)
    assert np.array_equal(typings.as_half(values), expected)


def test_what_onnx_has_in_fp32_only_stays(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["input"], ["same"], "cast", to=TensorProto.FLOAT),
        helper.make_node("Resize", ["same", "", "scales"], ["logits"], "resize", mode="nearest"),
    ]
    file = written(model(nodes, [1, 2, 8, 8], scales=np.array([1, 1, 2, 2], np.float32)), tmp_path)
    half = tmp_path / "half.onnx"
    typings.typed(file, half)
    assert element_types(half) == {"scales": "FLOAT"}
    assert np.array_equal(logits(half), logits(file))


def test_an_operator_without_fp16_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["input"], ["bytes", "scale", "zero"], "quantize"),
        helper.make_node("Cast", ["bytes"], ["logits"], "cast", to=TensorProto.FLOAT),
    ]
    file = written(model(nodes), tmp_path)
    with pytest.raises(HqpError, match="cannot be typed FP16: it is not valid ONNX"):
        typings.typed(file, tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def test_weights_in_float_give_the_same_int8_and_the_same_logits(tmp_path: Path) -> None:
    file, floats = written(quantised(), tmp_path), tmp_path / "floats.onnx"
    typings.float_weights(file, floats)
    assert element_types(floats)["weight"] == "FLOAT"
    assert [node.name for node in onnx.load(floats).graph.node] == ["q", "dq", "w_q", "w", "conv"]
    onnx.checker.check_model(onnx.load(floats), full_check=True)
    assert np.array_equal(logits(floats), logits(file))


@given(st.floats(2**-24, 2.0**15, width=32))
def test_every_int8_weight_comes_back_behind_its_quantiser(scale: float) -> None:
    weights = np.arange(-127, 128)
    values = weights.astype(np.float32) * np.float32(scale)
    # A builder may divide by the scale or multiply by its inverse.
    assert np.array_equal(np.rint(values / np.float32(scale)), weights)
    assert np.array_equal(np.rint(values * (np.float32(1) / np.float32(scale))), weights)
