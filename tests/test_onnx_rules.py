"""The lint finds what each runtime would refuse, and no damage to a file becomes a traceback."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hqp import onnx_rules, typings
from hqp.errors import Damaged, HqpError

SIGNED_ZERO = np.int8(0)


def quantised(zero: Any = SIGNED_ZERO) -> ModelProto:
    """A convolution in QDQ form, as small as it gets: 1x1, two channels."""
    arrays = {
        "weight": np.array([[3, -2], [1, 127]], np.int8).reshape(2, 2, 1, 1),
        "weight_scale": np.array([0.5, 0.25], np.float32),
        "weight_zero": np.zeros(2, np.int8),
        "scale": np.array(0.1, np.float32),
        "zero": np.array(zero),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["bytes"], "q"),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["again"], "dq"),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["filter"], "w", axis=0),
        helper.make_node("Conv", ["again", "filter"], ["logits"], "conv"),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 2, 4, 4]) for name in ("input", "logits")]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def written(model: ModelProto, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def replaced(model: ModelProto, name: str, array: Any) -> None:
    tensor = next(tensor for tensor in model.graph.initializer if tensor.name == name)
    tensor.CopyFrom(numpy_helper.from_array(array, name))


def test_a_right_file_passes_for_every_runtime(tmp_path: Path) -> None:
    path = written(quantised(), tmp_path)
    assert onnx_rules.lint(path, symmetric_only=True) == ()
    onnx_rules.check(path, symmetric_only=True)


def dynamic(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"


def second_output(model: ModelProto) -> None:
    model.graph.output.append(helper.make_tensor_value_info("again", TensorProto.FLOAT, [1, 2, 4, 4]))


def zero_scale(model: ModelProto) -> None:
    replaced(model, "weight_scale", np.array([0.5, 0.0], np.float32))


def infinite_scale(model: ModelProto) -> None:
    replaced(model, "weight_scale", np.array([0.5, np.inf], np.float32))


def negative_scale(model: ModelProto) -> None:
    replaced(model, "scale", np.array(-0.1, np.float32))


def nan_scale(model: ModelProto) -> None:
    replaced(model, "scale", np.array(np.nan, np.float32))


def spare_scale(model: ModelProto) -> None:
    replaced(model, "weight_scale", np.array([0.5, 0.25, 0.5], np.float32))


def unstored_scale(model: ModelProto) -> None:
    model.graph.node.insert(0, helper.make_node("Identity", ["scale"], ["copied"], "copy"))
    model.graph.node[1].input[1] = "copied"


def float_weights(model: ModelProto) -> None:
    replaced(model, "weight", np.ones((2, 2, 1, 1), np.float32))
    del model.graph.node[2]
    model.graph.node[-1].input[1] = "weight"


def old(model: ModelProto) -> None:
    model.opset_import[0].version = 11


def foreign(model: ModelProto) -> None:
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    model.graph.node[0].domain = "com.microsoft"


def elsewhere(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")


def unsorted(model: ModelProto) -> None:
    model.graph.node.append(model.graph.node.pop(0))


FAULTS = {
    dynamic: "the shape of input is not static",
    second_output: "it has 2 outputs, not one",
    zero_scale: "a scale of w is 0, not a finite number above 0",
    infinite_scale: "a scale of w is inf, not a finite number above 0",
    negative_scale: "a scale of q is -0.1, not a finite number above 0",
    nan_scale: "a scale of q is nan, not a finite number above 0",
    spare_scale: "w has 3 scales for 2 channels",
    unstored_scale: "the scale of q is computed, not stored",
    float_weights: "the weights of conv are not stored as INT8",
    old: "its opset is 11, not one of 13 to 21",
    foreign: "it uses operators of com.microsoft, which one runtime alone has",
    elsewhere: "the weights of weight are in weights.bin, which is not beside it",
    unsorted: "it is not valid ONNX",
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_is_found(fault: Callable[[ModelProto], None], tmp_path: Path) -> None:
    model = quantised()
    fault(model)
    findings = onnx_rules.lint(written(model, tmp_path))
    assert [finding for finding in findings if finding.startswith(FAULTS[fault])]
    with pytest.raises(HqpError, match="hqp compress"):
        onnx_rules.check(tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("zero", "told"),
    [
        (np.int8(3), "q is not symmetric: its zero point is 3, not 0"),
        (np.uint8(128), "q is not symmetric: its zero point is 128, not 0"),
        (np.uint8(0), "q is unsigned: its zero point is a UINT8, not an INT8"),
    ],
)
def test_tensorrt_takes_a_signed_zero_only(zero: Any, told: str, tmp_path: Path) -> None:
    path = written(quantised(zero), tmp_path)
    onnx_rules.check(path)
    with pytest.raises(HqpError, match=f"{told}, and 1 more"):
        onnx_rules.check(path, symmetric_only=True)


def test_tensorrt_wants_the_zero_point_written_and_no_newer_opset(tmp_path: Path) -> None:
    model = quantised()
    del model.graph.node[2].input[2]
    model.opset_import[0].version = 18
    assert onnx_rules.lint(written(model, tmp_path)) == ()
    assert onnx_rules.lint(tmp_path / "model.onnx", symmetric_only=True) == (
        "its opset is 18, not one of 13 to 17",
        "w has no zero point, which TensorRT 8 demands",
    )


def test_tensorrt_wants_biases_in_float(tmp_path: Path) -> None:
    model = quantised()
    bias = {
        "bias": np.ones(2, np.int32),
        "bias_scale": np.array([0.05, 0.025], np.float32),
        "zeros": np.zeros(2, np.int32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in bias.items())
    model.graph.node.insert(0, helper.make_node("DequantizeLinear", [*bias], ["summand"], "b", axis=0))
    model.graph.node[-1].input.append("summand")
    assert onnx_rules.lint(written(model, tmp_path)) == ()
    assert onnx_rules.lint(tmp_path / "model.onnx", symmetric_only=True) == (
        "b reads a bias of INT32, which TensorRT refuses: it takes biases in float",
    )


def product(kind: str, shape: list[int], axis: int | None, scales: int, **options: int) -> ModelProto:
    """A node with quantised weights whose scales go along an axis, or of which there is one."""
    arrays = {
        "weight": np.ones(shape, np.int8),
        "scale": np.full([scales] if axis is not None else [], 0.5, np.float32),
        "zero": np.zeros([scales] if axis is not None else [], np.int8),
        "step": np.array(0.1, np.float32),
        "origin": np.array(0, np.int8),
    }
    along = {} if axis is None else {"axis": axis}
    image = [1, 4, 5, 5] if "Conv" in kind else [1, 4]
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "step", "origin"], ["bytes"], "q"),
        helper.make_node("DequantizeLinear", ["bytes", "step", "origin"], ["again"], "dq"),
        helper.make_node("DequantizeLinear", ["weight", "scale", "zero"], ["filter"], "w", **along),
        helper.make_node(kind, ["again", "filter"], ["logits"], "node", **options),
    ]
    ends = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *image[2:]])
        for name, channels in (("input", 4), ("logits", 6))
    ]
    tensors = [numpy_helper.from_array(array, name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "product", ends[:1], ends[1:], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(
    ("kind", "shape", "outputs", "options"),
    [
        ("Conv", [6, 4, 1, 1], 0, {}),
        ("ConvTranspose", [4, 6, 1, 1], 1, {}),
        ("Gemm", [6, 4], 0, {"transB": 1}),
        ("Gemm", [4, 6], 1, {"transB": 0}),
        ("Gemm", [4, 6], 1, {}),
        ("MatMul", [4, 6], 1, {}),
    ],
)
def test_tensorrt_wants_the_scales_of_weights_along_their_outputs(
    kind: str, shape: list[int], outputs: int, options: dict[str, int], tmp_path: Path
) -> None:
    right = product(kind, shape, outputs, 6, **options)
    counted = product(kind, shape, outputs - len(shape), 6, **options)  # from the end
    single = product(kind, shape, None, 1, **options)
    for model in (right, counted, single):
        assert onnx_rules.lint(written(model, tmp_path), symmetric_only=True) == ()
    wrong = written(product(kind, shape, 1 - outputs, 4, **options), tmp_path)
    assert onnx_rules.lint(wrong) == ()
    assert onnx_rules.lint(wrong, symmetric_only=True) == (
        f"the scales of node's weights go along axis {1 - outputs}, not along its outputs, axis {outputs}",
    )


@pytest.mark.parametrize(
    ("summands", "told"),
    [
        (["logits", "again"], []),
        (["logits", "input"], ["sum reads input in float, so that TensorRT runs it apart from its INT8 convolution"]),
        (
            ["back", "again"],
            ["sum reads logits quantised, so that TensorRT runs it apart from its convolution"],
        ),
        (["input", "again"], []),  # no convolution
    ],
)
def test_tensorrt_wants_a_residual_sum_that_it_can_fuse(summands: list[str], told: list[str], tmp_path: Path) -> None:
    model = quantised()
    more = [
        helper.make_node("QuantizeLinear", ["logits", "scale", "zero"], ["narrow"], "q2"),
        helper.make_node("DequantizeLinear", ["narrow", "scale", "zero"], ["back"], "dq2"),
        helper.make_node("Add", summands, ["sum"], "sum"),
    ]
    model.graph.node.extend(more)
    model.graph.output[0].name = "sum"
    assert onnx_rules.lint(written(model, tmp_path)) == ()
    assert onnx_rules.lint(tmp_path / "model.onnx", symmetric_only=True) == tuple(told)


def test_what_onnx_itself_does_not_see_is_found(tmp_path: Path) -> None:
    model = quantised()
    replaced(model, "weight_zero", np.zeros(1, np.int8))
    replaced(model, "weight", np.ones((2, 3, 1, 1), np.int8))
    assert onnx_rules.lint(written(model, tmp_path)) == (
        "the filters of conv read 3 channels, and it is given 2",
        "w has 1 zero points for 2 scales",
    )


def test_tensorrt_takes_one_scale_for_an_activation_and_no_integer_operator(tmp_path: Path) -> None:
    model = quantised()
    replaced(model, "scale", np.array([0.1, 0.2], np.float32))
    replaced(model, "zero", np.zeros(2, np.int8))
    tail = [
        helper.make_node("ConvInteger", ["bytes", "weight"], ["sums"], "integers"),
        helper.make_node("Cast", ["sums"], ["other"], "cast", to=TensorProto.FLOAT),
    ]
    model.graph.node.extend(tail)
    assert onnx_rules.lint(written(model, tmp_path)) == ()
    assert onnx_rules.lint(tmp_path / "model.onnx", symmetric_only=True) == (
        "integers is a ConvInteger, which TensorRT does not have: it takes Q and DQ alone",
        "q has 2 scales for one activation, and TensorRT takes one",
        "dq has 2 scales for one activation, and TensorRT takes one",
    )


def test_tensorrt_11_reads_scales_in_fp16_of_opset_19(tmp_path: Path) -> None:
    model = quantised()
    typings.typed(written(model, tmp_path), tmp_path / "half.onnx")
    assert onnx_rules.lint(tmp_path / "half.onnx", symmetric_only=True) == ()
    half = onnx_rules.read(tmp_path / "half.onnx")
    half.opset_import[0].version = 18
    assert "its opset is 18, not one of 19 to 21" in onnx_rules.lint(written(half, tmp_path), symmetric_only=True)


def test_constants_are_seen_through_quantisation() -> None:
    found = onnx_rules.constants(quantised().graph)
    assert found["filter"].name == "weight"
    assert "again" not in found


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"])
def test_what_is_no_network_is_damaged(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(Damaged):
        onnx_rules.check(tmp_path / "model.onnx")


def test_a_tensor_that_does_not_fill_its_shape_is_damage(tmp_path: Path) -> None:
    model = quantised()
    model.graph.initializer[1].ClearField("dims")
    with pytest.raises(Damaged):
        onnx_rules.lint(written(model, tmp_path))


def test_a_missing_file_and_a_folder_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match="there is no file"):
        onnx_rules.lint(tmp_path / "gone.onnx")
    with pytest.raises(Damaged):
        onnx_rules.lint(tmp_path)


WHOLE = quantised().SerializeToString()


@given(st.integers(0, len(WHOLE) - 1))
def test_a_file_cut_off_anywhere_is_damaged_or_has_findings(
    tmp_path_factory: pytest.TempPathFactory, length: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "cut.onnx"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(HqpError):
        onnx_rules.check(path)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_changed_bytes_never_give_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    content = bytearray(WHOLE)
    for place, value in changes:
        content[place] = value
    path = tmp_path_factory.getbasetemp() / "changed.onnx"
    path.write_bytes(content)
    try:
        onnx_rules.lint(path, symmetric_only=True)
    except HqpError:
        return
