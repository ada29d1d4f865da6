"""Hard-swish and hard-sigmoid of INT8 give in integers, to the bit, what they give in float."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from onnx import GraphProto, TensorProto, helper, numpy_helper

from hqp.compress.quantisation import hard_activations

VALUES = np.linspace(-12, 12, 4801, dtype=np.float32)[None]


def activated(operator: str, spanned: tuple[float, float], dtype: type = np.uint8, slope: float = 1 / 6) -> GraphProto:
    """x -> Q -> DQ -> an activation -> Q -> DQ -> y, where x has this range."""
    low, high = spanned
    lowest = np.iinfo(dtype).min
    step = (high - low) / 255
    constants = {
        "x_scale": np.float32(step),
        "x_zero": np.array(round(-low / step) + lowest, dtype),
        # No product of two steps lies in the middle of two of these.
        "y_scale": np.float32(0.0471),
        "y_zero": np.array(lowest + 11, dtype),
    }
    node = helper.make_node
    options = {"alpha": slope, "beta": 0.5} if operator == "HardSigmoid" else {}
    nodes = [
        node("QuantizeLinear", ["x", "x_scale", "x_zero"], ["xq"], "xq"),
        node("DequantizeLinear", ["xq", "x_scale", "x_zero"], ["xd"], "xd"),
        node(operator, ["xd"], ["a"], "activation", **options),
        node("QuantizeLinear", ["a", "y_scale", "y_zero"], ["aq"], "aq"),
        node("DequantizeLinear", ["aq", "y_scale", "y_zero"], ["y"], "y"),
    ]
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, VALUES.shape) for name in "xy")
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    return helper.make_graph(nodes, "g", [x], [y], stored)


def span(operator: str, highest: float) -> tuple[float, float]:
    graph = activated(operator, (-1.0, 1.0))
    return hard_activations.spans(graph, {"xd": (-20.0, highest)})["xd"]


def result(graph: GraphProto) -> npt.NDArray[np.float32]:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"x": VALUES})[0])


def operators(graph: GraphProto) -> list[str]:
    return [node.op_type for node in graph.node]


@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
@pytest.mark.parametrize("highest", [0.5, 2.9, 9.7])
def test_a_hard_swish_is_the_same_values_in_a_clip_and_a_product(highest: float, dtype: type) -> None:
    graph = activated("HardSwish", span("HardSwish", highest), dtype)
    expected = result(graph)
    hard_activations.in_integers(graph)
    clip = ["Clip"] if highest > 3 else []  # else no integer stands for more than the knee
    front, back = ["QuantizeLinear", "DequantizeLinear"], ["DequantizeLinear", "Mul", "QuantizeLinear"]
    assert operators(graph) == [*front, *clip, *back, "DequantizeLinear"]
    assert np.array_equal(result(graph), expected)
    assert len(np.unique(expected)) > 10


def test_a_hard_sigmoid_is_another_reading_of_the_same_integers() -> None:
    graph = activated("HardSigmoid", span("HardSigmoid", 50.0))
    expected = result(graph)
    hard_activations.in_integers(graph)
    assert operators(graph) == ["QuantizeLinear", "DequantizeLinear", "QuantizeLinear", "DequantizeLinear"]
    assert np.array_equal(result(graph), expected)


@pytest.mark.parametrize(
    ("operator", "highest", "expected"),
    [
        ("HardSwish", 12.0, (-3.0, 204 * 3 / 51)),
        ("HardSwish", -2.0, (-3.0, 3 / 254)),
        ("HardSigmoid", 56.8, (-3.0, 127 * 3 / 128)),
        ("HardSigmoid", 0.1, (-3.0, 127 * 3 / 128)),
    ],
)
def test_a_range_starts_at_the_knee_and_holds_what_counts(
    operator: str, highest: float, expected: tuple[float, float]
) -> None:
    assert span(operator, highest) == pytest.approx(expected)


def test_a_range_that_something_else_reads_stays() -> None:
    graph = activated("HardSwish", (-1.0, 1.0))
    graph.node.append(helper.make_node("Neg", ["xd"], ["other"]))
    assert hard_activations.spans(graph, {"xd": (-20.0, 9.0)}) == {"xd": (-20.0, 9.0)}


def test_one_that_something_reads_in_float_stays() -> None:
    graph = activated("HardSwish", span("HardSwish", 9.7))
    graph.node.append(helper.make_node("Neg", ["a"], ["other"]))
    before = operators(graph)
    hard_activations.in_integers(graph)
    assert operators(graph) == before


def test_another_range_or_another_slope_stays_in_float() -> None:
    for graph in (activated("HardSwish", (-4.0, 9.0)), activated("HardSigmoid", span("HardSigmoid", 9.0), slope=0.2)):
        before = operators(graph)
        hard_activations.in_integers(graph)
        assert operators(graph) == before
