"""Weights are rounded in turn where nearest values are too coarse, and then a layer is nearer to what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from hqp.compress.quantisation import qdq, rounding
from hqp.records import Policy

POLICY = Policy(activations="uint8", symmetric=False)
RANGES = {"input": (-1.0, 1.0), "logits": (-300.0, 300.0)}

Array = npt.NDArray[np.float32]


def file(folder: Path, weights: Array, node: dict[str, Any], bias: Array | None = None) -> Path:
    """A file of one weighted node, as an exporter names it."""
    arrays = {"weight": weights} | ({} if bias is None else {"bias": bias})
    convolves = node["op_type"] == "Conv"
    inputs, outputs = ([1, 4, 5, 5], None) if convolves else ([1, 4], None)
    graph = helper.make_graph(
        [helper.make_node(inputs=["input", *arrays], outputs=["logits"], name=f"/head/{node['op_type']}", **node)],
        "one",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, inputs)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, outputs)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    path = folder / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def stored(path: Path, name: str) -> Array:
    found = next(tensor for tensor in onnx.load(path).graph.initializer if tensor.name.startswith(name))
    return numpy_helper.to_array(found)


def gram_of(rows: Array) -> torch.Tensor:
    with_ones = np.pad(rows, ((0, 0), (0, 1)), constant_values=1)
    return torch.from_numpy(with_ones.T @ with_ones)


def test_a_weight_makes_up_for_one_before_it_that_sees_the_same() -> None:
    # Steps of 1: the first is rounded down by 0.4, of which the second, which sees the same, takes back what it can.
    weights = np.array([[10.0, 0.4, 0.4, 0.4]], np.float32)
    rows = np.random.default_rng(0).normal(size=(1000, 2)).astype(np.float32)[:, [0, 1, 1, 1]]
    found, shift = rounding.rounded(weights, np.ones(1, np.float32), gram_of(rows), 10)
    assert found[0, 0] == 10 and sorted(found[0, 1:]) == [0, 0, 1]
    assert abs(shift[0]) < 0.05


def test_the_bias_takes_back_what_is_off_in_the_mean() -> None:
    weights, rows = np.array([[10.0, 0.4]], np.float32), np.array([[0.0, 5.0], [1.0, 5.0], [-1.0, 5.0]], np.float32)
    found, shift = rounding.rounded(weights, np.ones(1, np.float32), gram_of(rows), 10)
    assert found.tolist() == [[10.0, 0.0]] and shift.tolist() == pytest.approx([2.0], rel=0.05)
    without, none = rounding.rounded(weights, np.ones(1, np.float32), gram_of(rows)[:-1, :-1], 10)
    assert without.tolist() == [[10.0, 0.0]] and none.tolist() == [0.0]


@given(st.integers(0, 2**32 - 1), st.integers(1, 9), st.booleans())
def test_what_is_rounded_lies_on_the_grid(seed: int, inputs: int, has_bias: bool) -> None:
    random = np.random.default_rng(seed)
    weights = random.normal(size=(3, inputs)).astype(np.float32)
    scales = np.abs(weights).max(1) / 7
    rows = (random.normal(size=(50, inputs)) @ random.normal(size=(inputs, inputs)) + 1).astype(np.float32)
    gram = gram_of(rows) if has_bias else gram_of(rows)[:-1, :-1]
    found, _ = rounding.rounded(weights, scales, gram, 7)
    multiples = found / scales[:, None]
    assert np.allclose(multiples, np.round(multiples), atol=1e-4) and np.abs(multiples).max() < 7.001
    largest = np.abs(weights).argmax(1)
    assert np.allclose(found[range(3), largest], weights[range(3), largest])


def off(weights: Array, rounded: Array, shift: Array, rows: Array) -> float:
    return float(np.square(rows @ (rounded - weights).T + shift).mean())


def test_rounding_in_turn_is_nearer_than_nearest_values() -> None:
    random = np.random.default_rng(0)
    weights = random.normal(size=(8, 64)).astype(np.float32)
    weights[:, 0] = 40
    rows = (random.normal(size=(500, 16)) @ random.normal(size=(16, 64)) + 1).astype(np.float32)
    scales = np.abs(weights).max(1) / 127
    nearest = np.round(weights / scales[:, None]) * scales[:, None]
    found, shift = rounding.rounded(weights, scales, gram_of(rows), 127)
    assert off(weights, found, shift, rows) < 0.2 * off(weights, nearest, np.zeros(8, np.float32), rows)


@pytest.mark.parametrize(
    ("node", "shape"),
    [
        ({"op_type": "Conv", "kernel_shape": [3, 3]}, (6, 4, 3, 3)),
        ({"op_type": "Conv", "kernel_shape": [1, 1]}, (6, 4, 1, 1)),
        ({"op_type": "Gemm", "transB": 1}, (6, 4)),
        ({"op_type": "Gemm"}, (4, 6)),
    ],
)
def test_a_file_has_the_weights_that_int8_then_has(
    node: dict[str, Any], shape: tuple[int, ...], tmp_path: Path
) -> None:
    random = np.random.default_rng(0)
    weights, bias = random.normal(size=shape).astype(np.float32), random.normal(size=6).astype(np.float32)
    path = file(tmp_path, weights, node, bias)
    inputs = weights.size // 6
    rows = (random.normal(size=(200, inputs)) + 1).astype(np.float32)
    rounded, int8 = tmp_path / "rounded.onnx", tmp_path / "int8.onnx"
    rounding.round_weights(path, {"head": gram_of(rows)}, POLICY, rounded)
    qdq.quantize(rounded, int8, RANGES, POLICY)
    found = stored(rounded, "weight")
    assert found.shape == shape and not np.array_equal(found, weights)
    axis = 1 if node == {"op_type": "Gemm"} else 0
    scale = stored(int8, "weight_scale").reshape([-1 if place == axis else 1 for place in range(len(shape))])
    assert np.allclose(stored(int8, "weight_quantized") * scale, found, rtol=1e-5, atol=1e-7)
    assert not np.array_equal(stored(rounded, "bias"), bias)


def test_weights_are_too_coarse_where_one_of_a_channel_is_far_larger_than_the_others(tmp_path: Path) -> None:
    even = np.full((2, 4), 0.5, np.float32)
    path = file(tmp_path, even, {"op_type": "Gemm", "transB": 1}, np.zeros(2, np.float32))
    # Inputs have steps of 2 / 255 and weights of 1 / 254, and are alike.
    assert rounding.coarse(path, RANGES, {"input": 0.24}, POLICY) == {}
    uneven = even.copy()
    uneven[:, 0] = 50
    path = file(tmp_path, uneven, {"op_type": "Gemm", "transB": 1}, np.zeros(2, np.float32))
    ranges = {**RANGES, "input": (-0.01, 1.0)}
    of_inputs = (1.01 / 255) ** 2 * np.square(uneven).sum()
    of_weights = 2 * (50 / 127) ** 2 * 4 * 1000.0
    assert rounding.coarse(path, ranges, {"input": 1000.0}, POLICY) == {"head": pytest.approx(of_weights / of_inputs)}
    # What is in float, or of which nothing was seen, is left as it is.
    assert rounding.coarse(path, ranges, {}, POLICY) == {}
    in_float = Policy(activations="uint8", symmetric=False, layers={"head": "float"})
    assert rounding.coarse(path, ranges, {"input": 1000.0}, in_float) == {}
