"""Each operator that a runtime's profiler names counts to the layer that it belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp.compress.quantisation.layer_times import layer_ms


@pytest.fixture(scope="module")
def int8(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """x -> Q -> DQ -> conv "a" -> Relu -> pool -> Q -> DQ -> convs "b.c" and "d", which are added."""
    node = helper.make_node
    nodes = [
        node("QuantizeLinear", ["x", "s"], ["xq"], "x_QuantizeLinear"),
        node("DequantizeLinear", ["xq", "s"], ["xd"], "x_DequantizeLinear"),
        node("Conv", ["xd", "w"], ["ay"], "/a/Conv"),
        node("Relu", ["ay"], ["/act/Relu_output_0"], "/act/Relu"),
        node("MaxPool", ["/act/Relu_output_0"], ["p"], "/pool/MaxPool", kernel_shape=[1, 1]),
        node("QuantizeLinear", ["p", "s"], ["pq"], "p_QuantizeLinear"),
        node("DequantizeLinear", ["pq", "s"], ["pd"], "p_DequantizeLinear"),
        node("Conv", ["pd", "w"], ["by"], "/b/b.c/Conv"),
        node("Conv", ["pd", "w"], ["dy"], "/d/Conv"),
        node("Add", ["by", "dy"], ["y"], "/Add"),
    ]
    constants = [
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 4, 4)) for name in "xy")
    file = tmp_path_factory.mktemp("times") / "int8.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y], constants)), file)
    return file


def test_a_layer_has_its_operator_its_activation_and_its_share_of_a_quantiser(int8: Path) -> None:
    times = {
        "x_QuantizeLinear": 1.0,
        "/a/Conv/WithoutBiases": 10.0,
        "/act/Relu_output_0_nchwc": 2.0,
        "/pool/MaxPool": 100.0,
        "p_QuantizeLinear": 4.0,
        "/b/b.c/Conv_token_7": 20.0,
        "/d/Conv": 30.0,
        "/Add": 100.0,
    }
    assert layer_ms(int8, times) == {"a": 13.0, "b.c": 22.0, "d": 32.0}


def test_what_a_runtime_puts_in_counts_to_the_layer_that_it_runs_next(int8: Path) -> None:
    times = {
        "Transpose": 3.0,
        "/a/Conv": 10.0,
        "ReorderOutput_token_1": 5.0,
        "/pool/MaxPool": 100.0,
        "x_abcd_acdb_/d/Conv/WithoutBiases": 1.0,
        "/d/Conv/WithoutBiases": 30.0,
        "ReorderInput": 7.0,
    }
    assert layer_ms(int8, times) == {"a": 13.0, "b.c": 0.0, "d": 36.0}


def test_an_activation_in_integers_counts_to_the_layer_before_it_and_a_gate_to_none(tmp_path: Path) -> None:
    """Convs "a" and "b" -> Q, whose integers are clipped, both dequantised -> their product -> times another's."""
    node = helper.make_node
    nodes = [
        node("Conv", ["x", "w"], ["ay"], "/a/Conv"),
        node("QuantizeLinear", ["ay", "s"], ["aq"], "ay_QuantizeLinear"),
        node("DequantizeLinear", ["aq", "s"], ["ad"], "ay_DequantizeLinear"),
        node("Clip", ["aq"], ["ac"], "/act/Clip"),
        node("DequantizeLinear", ["ac", "s"], ["ag"], "/act/DequantizeLinear"),
        node("Mul", ["ad", "ag"], ["product"], "/act/Mul"),
        node("Conv", ["x", "w"], ["by"], "/b/Conv"),
        node("Relu", ["by"], ["bg"], "/b/Relu"),
        node("Mul", ["product", "bg"], ["y"], "/gate/Mul"),
    ]
    constants = [
        numpy_helper.from_array(np.float32(0.1), "s"),
        numpy_helper.from_array(np.ones((3, 3, 1, 1), np.float32), "w"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 4, 4)) for name in "xy")
    file = tmp_path / "gated.onnx"
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", [x], [y], constants)), file)
    times = {"/a/Conv": 10.0, "/act/Clip": 1.0, "/act/Mul": 2.0, "/b/Conv": 20.0, "/b/Relu": 4.0, "/gate/Mul": 100.0}
    assert layer_ms(file, times) == {"a": 13.0, "b": 24.0}
