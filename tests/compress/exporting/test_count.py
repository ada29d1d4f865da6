"""Parameters and multiply-adds, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from hqp.compress.exporting import count
from hqp.compress.exporting.export import export
from hqp.compress.quantisation.calibrate import distributions
from hqp.compress.quantisation.qdq import quantize
from hqp.compress.quantisation.thresholds import ranges
from hqp.errors import HqpError
from hqp.records import Policy

torch.set_num_threads(1)


def network() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),  # 8x8x8
        nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Hardswish(),  # 8x8x8
        nn.Conv2d(8, 4, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip


PARAMETERS = (8 * 3 * 9 + 8) + (8 * 9 + 8) + (4 * 8 + 4) + (5 * 4 + 5)
MACS = 64 * 8 * 27 + 64 * 8 * 9 + 64 * 4 * 8 + 5 * 4


@pytest.fixture
def fp32(tmp_path: Path) -> Path:
    export(network(), 16, tmp_path / "fp32.onnx")
    return tmp_path / "fp32.onnx"


def test_an_fp32_file_is_counted_exactly(fp32: Path) -> None:
    assert (count.parameters(fp32), count.macs(fp32)) == (PARAMETERS, MACS)


@pytest.mark.parametrize("policy", [Policy(), Policy("int8", symmetric=True, float_results=True)])
def test_its_quantised_form_counts_the_same(fp32: Path, policy: Policy, tmp_path: Path) -> None:
    images = np.random.default_rng(0).standard_normal((2, 3, 16, 16), dtype=np.float32)
    seen = distributions(fp32, lambda: [images], policy)
    quantize(fp32, tmp_path / "int8.onnx", ranges(seen, "minmax", policy), policy)
    assert (count.parameters(tmp_path / "int8.onnx"), count.macs(tmp_path / "int8.onnx")) == (PARAMETERS, MACS)


class Product(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(4, 6))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x.flatten(2) @ self.weight).sum(2)


def test_a_matrix_product_counts_each_row(tmp_path: Path) -> None:
    export(Product(), 2, tmp_path / "model.onnx")
    assert (count.parameters(tmp_path / "model.onnx"), count.macs(tmp_path / "model.onnx")) == (24, 3 * 6 * 4)


def test_a_weight_that_two_nodes_share_counts_once(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["input", "weight"], ["inner"]),
        helper.make_node("MatMul", ["inner", "weight"], ["logits"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 4]) for name in ("input", "logits")]
    weight = numpy_helper.from_array(np.ones((4, 4), np.float32), "weight")
    graph = helper.make_graph(nodes, "shared", ends[:1], ends[1:], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), tmp_path / "model.onnx")
    assert (count.parameters(tmp_path / "model.onnx"), count.macs(tmp_path / "model.onnx")) == (16, 32)


def test_a_size_that_is_not_known_is_refused(fp32: Path) -> None:
    model = onnx.load(fp32)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "height"
    onnx.save(model, fp32)
    with pytest.raises(HqpError, match="not static"):
        count.macs(fp32)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"there is no file .*gone\.onnx"):
        count.parameters(tmp_path / "gone.onnx")
