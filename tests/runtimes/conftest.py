"""A zoo of minimal ONNX files: one a runtime must take, and one for each way in which a file is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

SIZE, CLASSES = 6, 5

Shape = Sequence[int | str]


def _file(
    path: Path,
    nodes: list[onnx.NodeProto],
    ports: tuple[Shape, Shape],
    kind: int = TensorProto.FLOAT,
    **weights: object,
) -> Path:
    """A model with one input ``x`` and one output ``y``; ``weights`` are its initialisers."""
    x, y = (helper.make_tensor_value_info(name, kind, shape) for name, shape in zip("xy", ports, strict=True))
    arrays = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("unknown.domain", 1)]
    onnx.save(
        helper.make_model(helper.make_graph(nodes, "g", [x], [y], arrays), opset_imports=opsets, ir_version=9), path
    )
    return path


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    """Convolution, ReLU, mean, linear: float32 (1, 3, 6, 6) to (1, 5), weights of a fixed seed."""
    draw = np.random.default_rng(1)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["a"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["d"]),
        helper.make_node("Gemm", ["d", "linear", "bias"], ["y"]),
    ]
    weights = {
        "kernel": draw.standard_normal((8, 3, 3, 3), np.float32),
        "linear": draw.standard_normal((8, CLASSES), np.float32),
        "bias": draw.standard_normal(CLASSES, np.float32),
    }
    return _file(tmp_path / "classifier.onnx", nodes, ((1, 3, SIZE, SIZE), (1, CLASSES)), **weights)


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """The mean of three channels whose only arithmetic is a uint8 activation in steps of 1/8 around zero point 128."""
    scale, zero = np.float32(0.125), np.uint8(128)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["a"]),
        helper.make_node("DequantizeLinear", ["a", "scale", "zero"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Flatten", ["c"], ["y"]),
    ]
    return _file(tmp_path / "quantized.onnx", nodes, ((1, 3, SIZE, SIZE), (1, 3)), scale=scale, zero=zero)


@pytest.fixture
def wasteful(tmp_path: Path) -> Path:
    """A file that runs, with weights which nothing uses: engines like to remark on that."""
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    return _file(tmp_path / "wasteful.onnx", nodes, ((1, 3, SIZE, SIZE), (1, 3)), unused=np.ones(7, np.float32))


Wrong = Callable[[str], Path]


@pytest.fixture
def wrong(tmp_path: Path, classifier: Path) -> Wrong:
    """A file that is wrong in the named way."""
    mean = [helper.make_node("GlobalAveragePool", ["x"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    unknown = [helper.make_node("Unknown", ["x"], ["y"], domain="unknown.domain")]

    def build(fault: str) -> Path:
        path = tmp_path / f"{fault}.onnx"
        if fault == "text":
            path.write_text("this is no ONNX file")
        elif fault == "empty":
            path.write_bytes(b"")
        elif fault == "cut":
            path.write_bytes(classifier.read_bytes()[:-200])
        elif fault == "operator":
            _file(path, unknown, ((1, 3, 4, 4), (1, 3)))
        elif fault == "dynamic":
            _file(path, mean, (("n", 3, 4, 4), ("n", 3)))
        elif fault == "batch":
            _file(path, mean, ((2, 3, 4, 4), (2, 3)))
        elif fault == "half":
            _file(path, mean, ((1, 3, 4, 4), (1, 3)), TensorProto.FLOAT16)
        elif fault == "vector":
            _file(path, [helper.make_node("Relu", ["x"], ["y"])], ((1, 3), (1, 3)))
        elif fault == "map":
            _file(path, [helper.make_node("Relu", ["x"], ["y"])], ((1, 3, 4, 4), (1, 3, 4, 4)))
        return path

    return build
