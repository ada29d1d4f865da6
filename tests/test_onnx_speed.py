"""What a runtime is slow with is told of the layers that have it, and of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hqp import onnx_speed


def activated(*operators: str, side: int = 4) -> ModelProto:
    """A chain of operators that leave the shape alone, behind each other."""
    names = ["input", *(f"t{place}" for place in range(1, len(operators))), "logits"]
    nodes = [
        helper.make_node(operator, [names[place]], [names[place + 1]], f"/block/act{place}/{operator}")
        for place, operator in enumerate(operators)
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, side, side]) for name in ("input", "logits")]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def grouped(channels: int, groups: int, *, int8: bool) -> ModelProto:
    """A convolution in groups."""
    weight = np.ones((channels, channels // groups, 1, 1), np.int8 if int8 else np.float32)
    arrays: dict[str, Any] = {"stored" if int8 else "weight": weight}
    nodes = [helper.make_node("Conv", ["input", "weight"], ["logits"], "/body/conv/Conv", group=groups)]
    if int8:
        arrays |= {"scale": np.ones(channels, np.float32), "zero": np.zeros(channels, np.int8)}
        nodes.insert(0, helper.make_node("DequantizeLinear", ["stored", "scale", "zero"], ["weight"], "w", axis=0))
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, 4, 4]) for name in ("input", "logits")]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "grouped", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def told(model: ModelProto, runtime: str, folder: Path) -> list[str]:
    onnx.save(model, folder / "model.onnx")
    return [note.split(":")[0] for note in onnx_speed.slow(folder / "model.onnx", runtime)]


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        (
            "onnxruntime",
            [
                "onnxruntime is slow with block.act1 and 1 more, Softplus",
                "onnxruntime is slow with block.act2, Sigmoid",
                "onnxruntime is slow with block.act4, Erf",
            ],
        ),
        (
            "openvino",
            ["openvino is slow with block.act1 and 1 more, Softplus", "openvino is slow with block.act2, Sigmoid"],
        ),
        ("tensorrt", []),
    ],
)
def test_slow_operators_are_told_by_runtime(runtime: str, expected: list[str], tmp_path: Path) -> None:
    assert told(activated("Relu", "Softplus", "Sigmoid", "Softplus", "Erf"), runtime, tmp_path) == expected


def test_nothing_is_slow_on_one_pixel(tmp_path: Path) -> None:
    assert told(activated("Sigmoid", "Softplus", side=1), "onnxruntime", tmp_path) == []


@pytest.mark.parametrize(
    ("channels", "groups", "int8", "expected"),
    [
        (16, 1, True, ""),
        (16, 16, True, ""),
        (12, 12, True, "a depthwise convolution of no multiple of 8 channels"),
        (12, 12, False, ""),
        (16, 2, True, "a convolution in groups"),
        (16, 2, False, ""),
    ],
)
def test_groups_that_int8_makes_slow(channels: int, groups: int, int8: bool, expected: str, tmp_path: Path) -> None:
    found = told(grouped(channels, groups, int8=int8), "onnxruntime", tmp_path)
    assert found == ([f"onnxruntime is slow with body.conv, {expected}"] if expected else [])
    assert told(grouped(channels, groups, int8=int8), "openvino", tmp_path) == []
