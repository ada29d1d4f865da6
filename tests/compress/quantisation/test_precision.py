"""A layer that a policy keeps in float computes in float, on what was never rounded, and nothing else changes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import timm
import torch
import torchvision
from onnx import NodeProto
from torch import nn

from hqp import onnx_rules
from hqp.compress.exporting.export import export
from hqp.compress.network.layers import layers
from hqp.compress.quantisation import calibrate, precision, thresholds
from hqp.compress.quantisation.qdq import quantize, tensors
from hqp.errors import UnknownName
from hqp.onnx_rules import IN_INT8, layer_of
from hqp.records import Policy

torch.set_num_threads(1)

SIZE = 16
POLICIES = (Policy(), Policy(float_results=True), Policy("int8", symmetric=True, float_results=True))


class Block(nn.Module):
    """Two convolutions, of which the second is summed with the block's input."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(8, 8, 3, padding=1)
        self.second = nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x + self.second(torch.relu(self.first(x))))


class Network(nn.Module):
    """A stem, two residual blocks in a container, and a head."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.blocks = nn.Sequential(Block(), Block())
        self.head = nn.Linear(8, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(torch.relu(self.stem(x))).mean((2, 3)))


def batches() -> Iterator[np.ndarray]:
    yield np.random.default_rng(1).standard_normal((8, 3, SIZE, SIZE), np.float32)


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("precision") / "fp32.onnx"
    export(Network().eval(), SIZE, path)
    return path


def quantised(fp32: Path, out: Path, policy: Policy) -> dict[str, NodeProto]:
    """The layers of the quantised file by name, written to ``out``, which onnxruntime has opened."""
    seen = calibrate.distributions(fp32, batches, policy)
    quantize(fp32, out, thresholds.ranges(seen, "minmax", policy), policy)
    onnx_rules.check(out, symmetric_only=policy.symmetric)
    onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    nodes = onnx.load(out).graph.node
    return {layer_of(node.name): node for node in nodes if node.op_type in IN_INT8}


def reads_int8(out: Path, node: NodeProto) -> list[bool]:
    """Whether each input of a node, its bias left out, is dequantised."""
    made_by = {output: one.op_type for one in onnx.load(out).graph.node for output in one.output}
    return [made_by.get(tensor) == "DequantizeLinear" for tensor in node.input[:2]]


@pytest.mark.parametrize("policy", POLICIES, ids=["chained", "float results", "symmetric"])
@pytest.mark.parametrize("layer", ["stem", "blocks.0.second", "blocks.1.first", "head"])
def test_a_layer_in_float_has_no_pair_of_q_and_dq_around_it(
    fp32: Path, tmp_path: Path, policy: Policy, layer: str
) -> None:
    out = tmp_path / "model.onnx"
    nodes = quantised(fp32, out, replace(policy, layers={layer: "float"}))
    assert set(nodes) == {"stem", "blocks.0.first", "blocks.0.second", "blocks.1.first", "blocks.1.second", "head"}
    for name, node in nodes.items():
        assert reads_int8(out, node) == ([False, False] if name == layer else [True, True]), name


@pytest.mark.parametrize("policy", POLICIES, ids=["chained", "float results", "symmetric"])
@pytest.mark.parametrize("layers", [("blocks.0.second",), ("blocks.0.first", "blocks.0.second"), ("stem", "blocks.*")])
def test_around_layers_in_float_the_network_is_the_same(
    fp32: Path, tmp_path: Path, policy: Policy, layers: tuple[str, ...]
) -> None:
    """No activation is lost: of a ReLU that were, half of the values would be others."""
    out = tmp_path / "model.onnx"
    quantised(fp32, out, replace(policy, layers=dict.fromkeys(layers, "float")))
    image = next(batches())[:1]
    exact, found = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": image})[0]
        for path in (fp32, out)
    )
    np.testing.assert_allclose(found, exact, atol=0.02 * np.abs(exact).max())


@pytest.mark.parametrize("policy", POLICIES, ids=["chained", "float results", "symmetric"])
def test_in_float_altogether_nothing_of_int8_is_left(fp32: Path, tmp_path: Path, policy: Policy) -> None:
    out = tmp_path / "model.onnx"
    quantised(fp32, out, replace(policy, layers={"*": "float"}, float_results=True))
    graph = onnx.load(out).graph
    assert not {node.op_type for node in graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    whole = onnx.load(fp32).graph
    assert {tensor.name for tensor in graph.initializer} == {tensor.name for tensor in whole.initializer}
    image = next(batches())[:1]
    exact, found = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, {"input": image})[0]
        for path in (fp32, out)
    )
    assert np.array_equal(exact, found)


def test_with_no_layer_named_the_file_is_the_same_to_the_byte(fp32: Path, tmp_path: Path) -> None:
    quantised(fp32, tmp_path / "none.onnx", Policy())
    quantised(fp32, tmp_path / "int8.onnx", Policy(layers={"*": "int8"}))
    quantised(fp32, tmp_path / "one.onnx", Policy(layers={"head": "float"}))
    none, named, one = ((tmp_path / f"{name}.onnx").read_bytes() for name in ("none", "int8", "one"))
    assert none == named != one


def test_what_only_a_layer_in_float_reads_needs_no_range(fp32: Path) -> None:
    every = tensors(fp32, Policy(float_results=True))
    without = tensors(fp32, Policy(float_results=True, layers={"head": "float"}))
    assert len(every) - len(without) == 1 and set(without) < set(every)


def test_a_pattern_that_names_no_layer_is_refused_with_those_there_are(fp32: Path) -> None:
    with pytest.raises(UnknownName, match=r"unknown layer of a policy .features.*there are: .*stem"):
        precision.require_known(("features.*",), precision.layers_of(onnx.load(fp32).graph).values())


def test_a_layer_that_is_gone_with_its_block_may_be_named(fp32: Path) -> None:
    policy = Policy(layers={"gone.fc1": "float", "head": "float"})
    assert precision.in_float(onnx.load(fp32).graph, policy) == ("/head/Gemm",)


@pytest.mark.parametrize(
    ("layers", "precision"),
    [
        ({}, "int8"),
        ({"head": "fp32"}, "int8"),
        ({"blocks.*": "fp32"}, "fp32"),
        ({"blocks.*": "fp32", "blocks.0.*": "int8"}, "int8"),
        ({"blocks.0.*": "int8", "blocks.*": "fp32"}, "int8"),
        ({"blocks.0.first": "fp32", "blocks.0.[a-z]*st": "int8"}, "fp32"),
    ],
)
def test_the_most_exact_pattern_counts_in_whatever_order(layers: dict[str, str], precision: str) -> None:
    assert Policy(layers=layers).precision_of("blocks.0.first") == precision  # type: ignore[arg-type]


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "resnet18": lambda: torchvision.models.resnet18(num_classes=4),
    "mobilenet_v3_small": lambda: torchvision.models.mobilenet_v3_small(num_classes=4),
    "densenet": lambda: torchvision.models.DenseNet(8, (2, 2), 8, num_classes=4),
    "regnet": lambda: timm.create_model("regnety_002", num_classes=4),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_is_found_by_the_name_it_has_in_pytorch(name: str, tmp_path: Path) -> None:
    path, model = tmp_path / f"{name}.onnx", NETWORKS[name]().eval()
    export(model, 32, path)
    named = {layer_of(node.name) for node in onnx.load(path).graph.node if node.op_type in IN_INT8}
    assert named == set(layers(model))
