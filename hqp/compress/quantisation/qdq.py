"""From an FP32 ONNX file and calibrated ranges to a static-QDQ INT8 file, written by onnxruntime's quantiser.

What is quantised: convolutions and matrix products, all of them, since it is they that cost time and bytes; in between
only what a runtime then fuses. Where results stay in float, so do activation functions, pooling to one value, and the
multiplication of a squeeze-and-excitation. Where a runtime gives INT8, what stands between two convolutions stays INT8
too: each way to float and back is an operator, and 3 us.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, numpy_helper

from hqp import documents, typings
from hqp.compress.quantisation import hard_activations, precision, tensorrt
from hqp.errors import HqpError
from hqp.onnx_rules import IN_INT8
from hqp.records import Policy

# These take and give INT8 in onnxruntime, so that a chain of them stays in INT8 from one convolution to the next.
CHAINED = (
    "Add",
    "AveragePool",
    "Clip",
    "Concat",
    "Flatten",
    "GlobalAveragePool",
    "MaxPool",
    "Relu",
    "Reshape",
    "Transpose",
)
# onnxruntime has INT8 kernels of these with a float result, which keeps the logits exact.
FLOAT_RESULT = ("Gemm", "MatMul")

# The least width of a range, for weights of one channel and for an activation. An all-zero filter would have the scale
# 0, which TensorRT refuses, and onnxruntime's way out, the scale 1, leaves no bits to the filter's bias. Real filters
# lie four orders of magnitude above.
LEAST_WIDTH = 1e-6

Ranges = Mapping[str, tuple[float, float]]


def quantize(fp32: Path, out: Path, ranges: Ranges, policy: Policy) -> None:
    """Writes ``fp32`` with INT8 weights, per channel and symmetric, and activations as ``policy`` wants them.

    ``ranges`` holds the lowest and highest value of each tensor in ``tensors(fp32, policy)``. Where the policy is
    symmetric, which is TensorRT's, biases are float and every scale is one that FP16 holds. Else biases are int32, and
    a channel whose bias would overflow gets a coarser weight scale, after TensorFlow Lite's ``quantization_utils.cc``.
    The same input gives the same bytes.

    Raises:
        HqpError: a range is missing, or is not finite.
    """
    wrong = sorted(name for name, limits in ranges.items() if not np.isfinite(limits).all())
    if wrong:
        raise HqpError(f"the range of {wrong[0]} is {ranges[wrong[0]]}", "finite numbers")
    exact = onnx.load(fp32)
    model = _with_qdq(_ready(exact), ranges, policy)
    if policy.symmetric:
        tensorrt.round_scales(model.graph, exact.graph)
    missing = [name for name in _scaled(model.graph) if name not in ranges]
    if missing:
        raise HqpError(f"{fp32} has no calibrated range for {missing[0]}", "the ranges of this file and this policy")
    documents.write_bytes(out, model.SerializeToString(deterministic=True))


def tensors(fp32: Path, policy: Policy) -> tuple[str, ...]:
    """The activations that need a calibrated range, in the order of the graph."""
    model = _ready(onnx.load(fp32))
    _shrink_weights(model.graph)
    return _scaled(_with_qdq(model, {}, policy).graph)


def _shrink_weights(graph: GraphProto) -> None:
    """Leaves one value of each weight: names depend on none of them, and the quantiser's time on all."""
    read = {name for node in graph.node if node.op_type in IN_INT8 for name in node.input[1:]}
    for tensor in graph.initializer:
        if tensor.name in read:
            one = np.zeros([1] * len(tensor.dims), np.float32)
            tensor.CopyFrom(numpy_helper.from_array(one, tensor.name))


def _scaled(graph: GraphProto) -> tuple[str, ...]:
    # A pool shares the scale of its input, so it is the scale's name that says whose range is used.
    scales = [node.input[1] for node in graph.node if node.op_type == "QuantizeLinear"]
    return tuple(dict.fromkeys(name.removesuffix("_scale") for name in scales))


def _ready(exact: ModelProto) -> ModelProto:
    """A copy of a model as onnxruntime's quantiser takes it, with the shapes of all its tensors."""
    from onnxruntime.quantization.quant_utils import add_infer_metadata

    model = onnx.shape_inference.infer_shapes(exact, strict_mode=True)
    add_infer_metadata(model)  # else onnxruntime writes the file to a temporary place to infer the shapes again
    return model


def _with_qdq(model: ModelProto, ranges: Ranges, policy: Policy) -> ModelProto:
    """A model, which is changed, with QDQ around what ``policy`` wants in INT8."""
    from onnxruntime.quantization import QuantType

    from hqp.compress.quantisation.weight_scales import Quantizer

    # Where results of convolutions are INT8, so is what hard activations read.
    chained = not policy.float_results
    floats = precision.with_activations(model.graph, precision.in_float(model.graph, policy))
    quantizer = Quantizer(
        model,
        per_channel=True,
        reduce_range=policy.weight_bits == 7,
        weight_qType=QuantType.QInt8,
        activation_qType=QuantType.QInt8 if policy.activations == "int8" else QuantType.QUInt8,
        tensors_range=_tensor_data(model.graph, ranges, chained),
        nodes_to_quantize=None,
        nodes_to_exclude=[*_constant_additions(model.graph), *floats],
        op_types_to_quantize=IN_INT8 + CHAINED if chained else IN_INT8,
        extra_options={
            "ActivationSymmetric": policy.symmetric,
            "WeightSymmetric": True,
            "MinimumRealRange": LEAST_WIDTH,
            "QuantizeBias": not policy.symmetric,
            "OpTypesToExcludeOutputQuantization": FLOAT_RESULT if chained else IN_INT8,
        },
    )
    quantizer.quantize_model()
    quantizer.model.topological_sort()
    quantized: ModelProto = quantizer.model.model
    precision.keep_clear(quantized.graph, floats)
    if chained:
        hard_activations.in_integers(quantized.graph)
    if policy.symmetric:
        tensorrt.fuse_residual_sums(quantized.graph, lambda name: limits(ranges, name))
        quantizer.model.topological_sort()
    del quantized.metadata_props[:], quantized.graph.value_info[:]
    typings.mark(quantized, policy.floats)
    return quantized


def _tensor_data(graph: GraphProto, ranges: Ranges, chained: bool) -> dict[str, Any]:
    """Ranges in onnxruntime's form, of every tensor: its quantiser looks at more of them than it uses."""
    from onnxruntime.quantization.calibrate import TensorData

    names = [graph.input[0].name, *(name for node in graph.node for name in node.output)]
    spanned = {name: limits(ranges, name) for name in names}
    if chained:
        spanned = hard_activations.spans(graph, spanned)
    return {name: TensorData(lowest=np.float32(low), highest=np.float32(high)) for name, (low, high) in spanned.items()}


def limits(ranges: Ranges, name: str) -> tuple[float, float]:
    """The range that a tensor's scale spans.

    What was zero on every image carries nothing: any scale is right, and a tiny one overflows the next bias.
    """
    low, high = ranges.get(name, (0.0, 1.0))
    return (low, high) if high - low >= LEAST_WIDTH else (0.0, 1.0)


def _constant_additions(graph: GraphProto) -> list[str]:
    """Additions of a constant, which belong to an activation function in float, not to a residual sum."""
    constants = {tensor.name for tensor in graph.initializer}
    return [node.name for node in graph.node if node.op_type == "Add" and constants.intersection(node.input)]
