"""A file's network in torch computes what the file says, operator by operator, and refuses what it does not know."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from torch import Tensor, nn
from torch.nn import functional

from hqp import typings
from hqp.compress.exporting.export import export
from hqp.errors import HqpError
from hqp.exports import _torch


class Of(nn.Module):
    """A convolution, then a function of what it gives, then a mean over pixels."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.stem, self.function = nn.Conv2d(3, 6, 3), function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.stem(x)).flatten(2).mean(2)


def attention(x: Tensor) -> Tensor:
    rows = x.flatten(2).transpose(1, 2)
    scores = (rows @ rows.transpose(1, 2) * 0.1).softmax(-1)
    return functional.layer_norm(scores @ rows, (6,)).transpose(1, 2)


FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "activations": lambda x: functional.hardswish(x) + functional.hardsigmoid(x) * torch.sigmoid(x) - torch.tanh(x),
    "leaky": lambda x: functional.leaky_relu(x, 0.2) + functional.elu(x) + functional.softplus(x),
    "clipped": lambda x: functional.relu6(x * 4) + x.clamp(-0.5, 0.25),
    "gelu": functional.gelu,
    "max_pool": lambda x: functional.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "average_pool": lambda x: functional.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "padded": lambda x: functional.pad(functional.pad(x, (1, 2, 0, 1)), (1, 1, 1, 1), mode="reflect"),
    "parts": lambda x: torch.cat(
        (x[:, 1:3], x[:, :, 1:].chunk(2, 1)[0][:, :, :, 1:].new_zeros(1, 1, 1, 1) + x[:, 3:4]), 1
    ),
    "shuffled": lambda x: x.view(1, 2, 3, 10, 10).transpose(1, 2).reshape(1, 6, 10, 10) * x,
    "halves": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1) / (x.abs().sum((2, 3), keepdim=True) + 1).sqrt(),
    "attention": attention,
    "same": lambda x: functional.conv2d(x, torch.ones(6, 1, 4, 4), padding="same", groups=6),
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_operator_computes_what_the_file_says(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    file = tmp_path / "model.onnx"
    export(Of(FUNCTIONS[name]).eval(), 12, file)
    images = np.random.default_rng(1).standard_normal((2, 3, 12, 12), np.float32)
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    exact = np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])
    found = _torch.logits(_torch.network(file), images)
    np.testing.assert_allclose(found, exact, rtol=1e-4, atol=1e-5)


def test_a_file_in_float16_computes_in_float16(tmp_path: Path) -> None:
    torch.manual_seed(0)
    export(Of(torch.relu).eval(), 12, tmp_path / "fp32.onnx")
    typings.typed(tmp_path / "fp32.onnx", tmp_path / "model.onnx")
    network = _torch.network(tmp_path / "model.onnx")
    assert {buffer.dtype for buffer in network.buffers()} == {torch.float16}
    image = np.random.default_rng(1).standard_normal((1, 3, 12, 12), np.float32)
    (exact,) = InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"]).run(None, {"input": image})
    found = _torch.logits(network, image)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, exact, rtol=1e-2, atol=1e-3)


def test_an_operator_that_is_not_known_is_named(tmp_path: Path) -> None:
    value = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3])
    result = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 3])
    graph = helper.make_graph([helper.make_node("Det", ["input"], ["logits"], "/det/Det")], "net", [value], [result])
    onnx.save(helper.make_model(graph), tmp_path / "model.onnx")
    with pytest.raises(
        HqpError, match=r"/det/Det is Det, of which the exports through PyTorch know no form; one of Abs,"
    ):
        _torch.network(tmp_path / "model.onnx")
