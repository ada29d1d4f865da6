"""Residual sums that TensorRT fuses, and scales that FP16 holds, with the weights that belong to them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from onnx import numpy_helper
from torch import Tensor, nn

from hqp import onnx_rules, typings
from hqp.compress.exporting.export import export
from hqp.compress.quantisation import qdq, tensorrt
from hqp.records import Policy

torch.set_num_threads(1)

POLICY = Policy("int8", symmetric=True, float_results=True)
SIZE = 8


class Residual(nn.Module):
    """A sum with the input of its block, one with a projection of it, one with what no convolution reads quantised."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.first, self.second = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.third, self.fourth = nn.Conv2d(4, 6, 3, padding=1), nn.Conv2d(6, 6, 3, padding=1)
        self.projection = nn.Conv2d(4, 6, 1)
        self.last = nn.Conv2d(6, 6, 1)
        self.head = nn.Linear(6, 5)

    def forward(self, image: Tensor) -> Tensor:
        x = torch.relu(self.stem(image))
        x = torch.relu(x + self.second(torch.relu(self.first(x))))
        x = torch.relu(self.projection(x) + self.fourth(torch.relu(self.third(x))))
        summed = torch.sigmoid(x) + self.last(x)
        return self.head(summed.mean((2, 3)))


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The network in FP32 and in INT8, every activation within ±3."""
    folder = tmp_path_factory.mktemp("residual")
    torch.manual_seed(0)
    export(Residual().eval(), SIZE, folder / "fp32.onnx")
    names = qdq.tensors(folder / "fp32.onnx", POLICY)
    qdq.quantize(folder / "fp32.onnx", folder / "int8.onnx", dict.fromkeys(names, (-3.0, 3.0)), POLICY)
    return folder / "fp32.onnx", folder / "int8.onnx"


def summands(file: Path) -> dict[str, list[str]]:
    graph = onnx.load(file).graph
    producers = {name: node for node in graph.node for name in node.output}
    return {node.name: [producers[name].name for name in node.input] for node in graph.node if node.op_type == "Add"}


def test_a_sum_reads_its_convolution_in_float_and_the_rest_quantised(files: tuple[Path, Path]) -> None:
    assert summands(files[1]) == {
        "/Add": ["/second/Conv", "/Relu_output_0_DequantizeLinear"],
        "/Add_1": ["/fourth/Conv", "/projection/Conv_output_0_DequantizeLinear"],
        "/Add_2": ["/last/Conv", "/Sigmoid_output_0_DequantizeLinear"],
    }
    assert onnx_rules.lint(files[1], symmetric_only=True) == ()


def test_what_a_sum_reads_has_a_range_of_its_own(files: tuple[Path, Path]) -> None:
    names = qdq.tensors(files[0], POLICY)
    assert {"/projection/Conv_output_0", "/Sigmoid_output_0"} <= {*names}
    (scale,) = (tensor for tensor in onnx.load(files[1]).graph.initializer if tensor.name == "/Sigmoid_output_0_scale")
    assert numpy_helper.to_array(scale) == tensorrt.half_above(np.array(3 / 127))


def test_every_scale_is_an_fp16_number_and_every_weight_the_nearest_of_its_step(files: tuple[Path, Path]) -> None:
    exact = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(files[0]).graph.initializer}
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(files[1]).graph.initializer}
    scales = [array for name, array in found.items() if name.endswith("_scale")]
    assert all(np.array_equal(array, array.astype(np.float16).astype(np.float32)) for array in scales)
    for name in (name for name in found if name.endswith("_quantized")):
        weight = exact[name.removesuffix("_quantized")]
        step = found[name.replace("_quantized", "_scale")].reshape(-1, *[1] * (weight.ndim - 1))
        assert np.array_equal(found[name], np.rint(weight / step))
        assert np.abs(found[name]).max(axis=tuple(range(1, weight.ndim))).min() >= 126


def test_typed_fp16_the_file_has_the_same_int8_and_nearly_the_same_logits(
    files: tuple[Path, Path], tmp_path: Path
) -> None:
    typings.typed(files[1], tmp_path / "half.onnx")
    assert onnx_rules.lint(tmp_path / "half.onnx", symmetric_only=True) == ()
    before, after = (
        {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(file).graph.initializer}
        for file in (files[1], tmp_path / "half.onnx")
    )
    for name in before:
        if not name.endswith("bias"):
            assert np.array_equal(before[name], after[name]), name
    images = np.random.default_rng(0).standard_normal((8, 3, SIZE, SIZE), dtype=np.float32)
    exact, found = logits(files[1], images), logits(tmp_path / "half.onnx", images)
    # FP16 rounds to one part in 2048, and now and then moves a value to the next of 255 steps.
    assert np.abs(exact - found).max() < 0.02 * np.abs(exact).max()


def logits(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # Its own kernels for INT8 make int32 of biases, by the product of two FP16 scales, which is a subnormal number.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])


@given(st.floats(2.0**-30, 2.0**20, width=32))
def test_a_scale_grows_to_the_next_fp16_number_and_no_further(scale: float) -> None:
    (rounded,) = tensorrt.half_above(np.array([scale], np.float32))
    half = np.float16(rounded)
    assert float(half) == float(rounded)
    assert rounded >= min(scale, 65504)
    before = float(np.nextafter(half, np.float16(0)))
    assert before < scale
