"""What is looked at before a file is quantised: what INT8 holds badly, in which layer, and what is done about it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
from onnx import NodeProto, numpy_helper

from hqp import onnx_rules
from hqp.compress.quantisation import precision, qdq
from hqp.compress.quantisation.weight_scales import ACTIVATION_STEPS, STEPS, channel_scales
from hqp.records import Calibration, Finding, Policy

# The weights of a channel are tiny where the largest of them is below this share of that of the layer's middle channel:
# what batch norm folded away, and what a single scale for the layer would round to nothing.
TINY = 1 / 4096

LARGEST_BIAS = 2**31 - 1

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Layer:
    """A convolution or matrix product: its weights (channels, …), its biases, and the tensor that it reads."""

    name: str
    weights: Array
    bias: Array | None
    source: str


def findings(
    plain: Path,
    ranges: qdq.Ranges,
    outliers: Mapping[str, float],
    coarse: Mapping[str, float],
    policy: Policy,
    calibration: Calibration,
) -> tuple[Finding, ...]:
    """What was found of the layers that become INT8, in the order of the file, and the remedy that was taken.

    ``coarse`` and ``outliers`` are those of ``rounding.coarse`` and ``thresholds.outliers``.
    """
    graph = onnx.load(plain).graph
    floats = precision.in_float(graph, policy)
    stored = {tensor.name: tensor for tensor in graph.initializer}
    found: list[Finding] = []
    for node in graph.node:
        is_int8 = node.op_type in onnx_rules.IN_INT8 and node.name not in floats
        if is_int8 and node.input[1] in stored:
            layer = _layer(node, stored)
            found += _of_weights(layer)
            found += _of_rounding(layer.name, coarse)
            if layer.bias is not None and not policy.symmetric:
                found += _of_biases(layer, layer.bias, ranges, policy)
        found += _of_range(node, outliers, calibration)
    return tuple(found)


def _layer(node: NodeProto, stored: Mapping[str, onnx.TensorProto]) -> _Layer:
    weights = numpy_helper.to_array(stored[node.input[1]])
    weights = np.moveaxis(weights, onnx_rules.output_axis(node, weights.ndim), 0)
    name = onnx_rules.layer_of(node.name) or node.name
    has_bias = len(node.input) > 2 and node.input[2] in stored
    bias = numpy_helper.to_array(stored[node.input[2]]) if has_bias else None
    return _Layer(name, weights, bias, node.input[0])


def _of_weights(layer: _Layer) -> Iterator[Finding]:
    """Channels without weights, and channels with tiny ones."""
    largest = np.abs(layer.weights).reshape(len(layer.weights), -1).max(axis=1)
    dead = largest < qdq.LEAST_WIDTH
    if dead.any():
        yield Finding(layer.name, f"{_of(dead)} are dead", "their biases stay, by the least scale that there is")
    alive = largest[~dead]
    tiny = ~dead & (largest < TINY * np.median(alive)) if alive.size else dead & False
    if tiny.any():
        reason = f"{_of(tiny)} have weights below 1/{round(1 / TINY)} of the others'"
        yield Finding(layer.name, reason, "each channel has a scale of its own")


def _of_rounding(layer: str, coarse: Mapping[str, float]) -> Iterator[Finding]:
    if layer in coarse:
        reason = f"rounding its weights makes {coarse[layer]:.1f} times the noise of rounding its inputs"
        yield Finding(layer, reason, "each makes up for those rounded before it")


def _of_biases(layer: _Layer, bias: Array, ranges: qdq.Ranges, policy: Policy) -> Iterator[Finding]:
    """Biases that int32 does not hold at the scale of their input times that of their weights."""
    low, high = qdq.limits(ranges, layer.source)
    step = (high - low) / ACTIVATION_STEPS
    scales = channel_scales(layer.weights, STEPS[policy.weight_bits], qdq.LEAST_WIDTH).astype(np.float64)
    over = np.abs(bias.astype(np.float64)) > LARGEST_BIAS * step * scales
    if over.any():
        reason = f"the biases of {_of(over)} overflow int32"
        yield Finding(layer.name, reason, "the scales of their weights are coarser")


def _of_range(node: NodeProto, outliers: Mapping[str, float], calibration: Calibration) -> Iterator[Finding]:
    """Outliers that widen the range R of what a node gives, and with it the step s = R / 255."""
    for tensor in node.output:
        if tensor in outliers:
            reason = f"a few values widen its range {outliers[tensor]:.1f} times, and so the step of all"
            remedy = "kept whole by minmax" if calibration == "minmax" else f"cut by {calibration}"
            yield Finding(onnx_rules.layer_of(node.name) or node.name, reason, remedy)


def _of(channels: npt.NDArray[np.bool_]) -> str:
    return f"{np.count_nonzero(channels)} of {len(channels)} channels"
