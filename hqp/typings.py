"""One network in the element types that a builder wants to read; the INT8 weights stay as they were calibrated.

An artefact is typed FP32 around its INT8 weights. TensorRT 11 runs a file as it is typed, so there what is not INT8 has
to be FP16 in the file. TensorRT 8 reads INT8 weights only as FP32 behind a QuantizeLinear. Both are derived from the
artefact, and take and give FP32 as it does.

An x86 processor with BF16 computes a file in it whose values are FP32: its runtime is told to, and which file it is
told of stands in the file's metadata.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hqp import documents, onnx_rules
from hqp.errors import HqpError
from hqp.records import Floats

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# The first whose QuantizeLinear and DequantizeLinear have scales in FP16.
HALF_SCALES_OPSET = 19

# What FP16 holds beside 0. A constant beyond is put to the nearer end and keeps its sign: an epsilon must not become 0,
# nor a mask of -1e38 infinite.
LEAST, GREATEST = 2.0**-24, 65504.0

# The metadata property that names the precision in which a runtime is to compute what is typed FP32.
PRECISION_KEY = "inference_precision"

# What OpenVINO calls them, as the value of its property INFERENCE_PRECISION_HINT.
OPENVINO_HINTS = {"fp32": "f32", "bf16": "bf16"}

QUANTIZERS = ("QuantizeLinear", "DequantizeLinear")
# Inputs that ONNX has in FP32 only, by operator: the scales of a Resize.
SINGLE_INPUTS = {"Resize": 2}


def typed(onnx_file: Path, out: Path) -> None:
    """Writes a file with FP16 wherever it is FP32: weights, biases, activations, the scales of Q and DQ.

    Its input and logits stay FP32, behind a Cast. A file with Q and DQ is of opset 19, any other keeps its own. The
    same input gives the same bytes.

    Raises:
        HqpError: an operator of the file has no FP16.
        Damaged: the file is cut off, or no ONNX file.
    """
    model = onnx_rules.read(onnx_file)
    if any(node.op_type in QUANTIZERS for node in model.graph.node):
        model = _of_opset(model, HALF_SCALES_OPSET)
    graph = model.graph
    del graph.value_info[:]
    kept = set(_single_inputs(graph))
    for tensor in graph.initializer:
        if tensor.name not in kept:
            _halve(tensor)
    for node in graph.node:
        _halve_attributes(node)
    _cast_interface(graph)
    _require_valid(model, onnx_file)
    documents.write_bytes(out, model.SerializeToString(deterministic=True))


def float_weights(onnx_file: Path, out: Path) -> None:
    """Writes a file whose INT8 weights are FP32 behind a QuantizeLinear, which gives the same INT8 again.

    A weight q with the scale s becomes q·s, and q·s / s is off q by float32's rounding alone, far from the next half.

    Raises:
        Damaged: the file is cut off, or no ONNX file.
    """
    from onnx import TensorProto, helper, numpy_helper

    model = onnx_rules.read(onnx_file)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        weight = stored.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if weight is not None and weight.data_type == TensorProto.INT8:
            quantized, scales = (numpy_helper.to_array(stored[name]) for name in node.input[:2])
            values = quantized.astype(np.float32) * along(scales, node, weight)
            weight.CopyFrom(numpy_helper.from_array(values, weight.name))
            quantizer = helper.make_node("QuantizeLinear", list(node.input), [f"{weight.name}_q"], f"{node.name}_q")
            quantizer.attribute.extend(node.attribute)
            nodes.append(quantizer)
            node.input[0] = quantizer.output[0]
        nodes.append(node)
    _replace_nodes(model.graph, nodes)
    documents.write_bytes(out, model.SerializeToString(deterministic=True))


def mark(model: ModelProto, floats: Floats) -> None:
    """Says in a model in which precision a runtime is to compute what is typed FP32; FP32 itself is not said."""
    if floats != "fp32":
        model.metadata_props.add(key=PRECISION_KEY, value=floats)


def marked(onnx_file: Path, out: Path, floats: Floats) -> None:
    """Writes a file with the same values, which a runtime is to compute in another precision.

    Raises:
        Damaged: the file is cut off, or no ONNX file.
    """
    model = onnx_rules.read(onnx_file)
    mark(model, floats)
    documents.write_bytes(out, model.SerializeToString(deterministic=True))


def computed_in(onnx_file: Path) -> str:
    """The precision in which a runtime is to compute what a file has typed FP32.

    Raises:
        Damaged: the file is cut off, or no ONNX file.
    """
    properties = {entry.key: entry.value for entry in onnx_rules.read(onnx_file).metadata_props}
    return str(properties.get(PRECISION_KEY, "fp32"))


def computed_in_openvino(model: Any) -> str:
    """The precision in which a model that OpenVINO has read, from ONNX or from its own format, is to be computed."""
    # Where it keeps an ONNX file's metadata.
    place = ["framework", PRECISION_KEY]
    return str(model.get_rt_info(place).value) if model.has_rt_info(place) else "fp32"


def along(scales: npt.NDArray[Any], node: NodeProto, tensor: TensorProto) -> npt.NDArray[Any]:
    """A node's scales in the shape that multiplies its tensor along the right axis; a single scale as it is."""
    if scales.ndim == 0:
        return scales
    shape = [1] * len(tensor.dims)
    shape[onnx_rules.scale_axis(node, tensor)] = -1
    return scales.reshape(shape)


def _of_opset(model: ModelProto, opset: int) -> ModelProto:
    from onnx import version_converter

    if model.opset_import[0].version >= opset:
        return model
    newer: ModelProto = version_converter.convert_version(model, opset)
    return newer


def _single_inputs(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        index = SINGLE_INPUTS.get(node.op_type)
        if index is not None and len(node.input) > index:
            yield node.input[index]


def _halve(tensor: TensorProto) -> None:
    from onnx import TensorProto, numpy_helper

    if tensor.data_type != TensorProto.FLOAT:
        return
    values = numpy_helper.to_array(tensor)
    tensor.CopyFrom(numpy_helper.from_array(as_half(values), tensor.name))


def as_half(values: npt.NDArray[Any]) -> npt.NDArray[np.float16]:
    """The nearest FP16 values; what is not 0 does not become 0, and what is finite stays finite."""
    magnitudes = np.abs(values)
    representable = np.where(np.isinf(values), magnitudes, np.clip(magnitudes, LEAST, GREATEST))
    return np.where(magnitudes == 0, values, np.copysign(representable, values)).astype(np.float16)


def _halve_attributes(node: NodeProto) -> None:
    """What a node makes in FP32, it makes in FP16: constants that stand in it, and casts to FP32."""
    from onnx import TensorProto

    for attribute in node.attribute:
        if attribute.HasField("t"):
            _halve(attribute.t)
        elif attribute.name in ("to", "dtype") and attribute.i == TensorProto.FLOAT:
            attribute.i = TensorProto.FLOAT16


def _cast_interface(graph: GraphProto) -> None:
    """Leaves the file's input and output FP32: a Cast behind the one and before the other."""
    from onnx import TensorProto, helper

    stored = {tensor.name for tensor in graph.initializer}
    first = [value.name for value in graph.input if value.name not in stored]
    last = [value.name for value in graph.output]
    halves = {name: f"{name}_half" for name in (*first, *last)}
    for node in graph.node:
        for names in (node.input, node.output):
            names[:] = [halves.get(name, name) for name in names]
    before = [helper.make_node("Cast", [name], [halves[name]], halves[name], to=TensorProto.FLOAT16) for name in first]
    after = [helper.make_node("Cast", [halves[name]], [name], halves[name], to=TensorProto.FLOAT) for name in last]
    _replace_nodes(graph, [*before, *graph.node, *after])


def _replace_nodes(graph: GraphProto, nodes: list[NodeProto]) -> None:
    copies = [_copy(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)


def _copy(node: NodeProto) -> NodeProto:
    from onnx import NodeProto

    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _require_valid(model: ModelProto, onnx_file: Path) -> None:
    broken = next(onnx_rules.validity(model), None)
    if broken is not None:
        raise HqpError(f"{onnx_file} cannot be typed FP16: {broken}", "operators that ONNX has in FP16")
