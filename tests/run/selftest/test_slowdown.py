"""A network made slower: it says the same, and the width of what is added is found by what it costs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp.records import Device, Policy
from hqp.run.selftest import slowdown
from hqp.run.selftest.slowdown import NotMade, Width
from hqp.runtimes import onnxruntime

DEVICE = Device("onnxruntime", 1, ("fp32",), Policy(), "here")


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """A fully connected layer of four classes over the mean of an image."""
    weights = np.random.default_rng(0).normal(0, 1, (3, 4)).astype(np.float32)
    nodes = [
        helper.make_node("GlobalAveragePool", ["image"], ["means"]),
        helper.make_node("Flatten", ["means"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 8, 8])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 4])],
        [numpy_helper.from_array(weights, "weights")],
    )
    file = tmp_path / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return file


@pytest.mark.parametrize("width", [1, 300])
def test_a_slower_network_says_what_it_said_with_two_layers_more(network: Path, tmp_path: Path, width: int) -> None:
    slowed = tmp_path / "slowed.onnx"
    slowdown.widen(network, slowed, width)
    images = np.random.default_rng(1).normal(0, 1, (5, 3, 8, 8)).astype(np.float32)
    with onnxruntime.Session(network, DEVICE) as one, onnxruntime.Session(slowed, DEVICE) as other:
        assert np.array_equal(one.outputs(images), other.outputs(images))
    model = onnx.load(slowed)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node][-3:] == ["MatMul"] * 3
    added = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer if "slowing" in tensor.name}
    assert added == {"slowing_there": (4, 4 + width), "slowing_back": (4 + width, 4)}
    # Weights of zero could be left out by a runtime.
    there = numpy_helper.to_array(next(t for t in model.graph.initializer if t.name == "slowing_there"))
    assert np.count_nonzero(there[:, 4:]) == 4 * width


def test_the_least_that_can_be_added_is_one_layer(network: Path, tmp_path: Path) -> None:
    slowed = tmp_path / "slowed.onnx"
    slowdown.widen(network, slowed, 0)
    images = np.random.default_rng(1).normal(0, 1, (5, 3, 8, 8)).astype(np.float32)
    with onnxruntime.Session(network, DEVICE) as one, onnxruntime.Session(slowed, DEVICE) as other:
        assert np.array_equal(one.outputs(images), other.outputs(images))
    model = onnx.load(slowed)
    onnx.checker.check_model(model)
    assert [node.op_type for node in model.graph.node][-2:] == ["MatMul"] * 2
    assert [tuple(tensor.dims) for tensor in model.graph.initializer if "slowing" in tensor.name] == [(4, 4)]


@pytest.mark.parametrize("share", [0.01, 0.02, 0.05, 0.1, 0.2])
@pytest.mark.parametrize("by_width", [1e-6, 1e-5, 1e-4])
def test_the_width_is_found_by_its_own_cost(share: float, by_width: float) -> None:
    """Two layers cost something however narrow they are, and more for each of their channels."""
    asked: list[tuple[int, int]] = []

    def cost(width: int, processes: int) -> float:
        asked.append((width, processes))
        return 0.004 + by_width * width

    found = slowdown.fitted(cost, share)
    assert found == Width(asked[-1][0], 0.004 + by_width * found.width)
    assert abs(found.measured - share) <= 0.1 * share
    assert asked[-1][1] == slowdown.MEASURED_IN
    assert {processes for _, processes in asked[:-1]} <= {slowdown.TRIED_IN, slowdown.MEASURED_IN}


@pytest.mark.parametrize("least", [0.008, 0.0095, 0.0105])
def test_where_one_layer_costs_what_is_asked_for_it_is_taken(least: float) -> None:
    """Two layers, however narrow they are, cost twice as much."""
    found = slowdown.fitted(lambda width, processes: least if not width else 2 * least + 1e-5 * width, 0.01)
    assert found == Width(0, least)


def test_what_no_width_can_give_is_refused_without_trying_the_same_again() -> None:
    asked: list[tuple[int, int]] = []

    def cost(width: int, processes: int) -> float:
        asked.append((width, processes))
        return 0.04 + 1e-5 * width

    with pytest.raises(NotMade, match=r"no layer slows the network down by 1%: the nearest, 4.00%") as refused:
        slowdown.fitted(cost, 0.01)
    assert (refused.value.share, refused.value.nearest) == (0.01, 0.04)
    assert asked == [(0, 3)] * 4 + [(0, 10)]
    with pytest.raises(NotMade, match="no layer slows the network down by 5%"):
        slowdown.fitted(lambda width, processes: 0.0, 0.05)
