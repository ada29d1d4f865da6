"""Weights are rounded in turn, each making up for those before it, where their nearest values are too coarse.

INT8 weights, with a scale for each channel, are as a rule far finer than INT8 activations. Where one weight of a
channel is much larger than the others they are not: rounding them makes more noise than rounding what the layer sees.
There each is rounded so that those still to come, and the bias, take back what it is off, by least squares over what
the layer sees of calibration images. Source: E. Frantar et al., "GPTQ", arXiv 2210.17323 (2022).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper
from torch import Tensor

from hqp import documents, onnx_rules
from hqp.compress.quantisation import precision, qdq
from hqp.compress.quantisation.weight_scales import ACTIVATION_STEPS, STEPS, channel_scales
from hqp.records import Policy

# Weights are too coarse where rounding them makes so many times the noise of rounding what their layer sees. The INT8
# file of EfficientNet-Lite0 is 0.112 nats from FP32 with nearest values, 0.043 with this ratio and 0.037 with 0.3.
LEAST_RATIO = 1.0

# What is added to the diagonal of a Gram matrix, as a share of its mean.
RIDGE = 0.01

Array = npt.NDArray[np.float32]


def coarse(plain: Path, ranges: qdq.Ranges, mean_squares: Mapping[str, float], policy: Policy) -> dict[str, float]:
    """The layers whose weights are too coarse in INT8, by how many times the noise of their inputs they make.

    ``mean_squares`` are of the values of each tensor. A value that is rounded to a step is off by a twelfth of the
    step's square in the mean. Grouped convolutions are left out: of few inputs none makes up for another.
    """
    model = onnx.load(plain)
    floats = precision.in_float(model.graph, policy)
    found = {}
    for node, stored in _weighted(model):
        source = node.input[0]
        if node.name in floats or source not in mean_squares or _is_grouped(node):
            continue
        weights = _by_channel(node, stored)
        low, high = qdq.limits(ranges, source)
        # Float32 would not hold the squares of very wide ranges.
        of_inputs = ((high - low) / ACTIVATION_STEPS) ** 2 * np.square(weights, dtype=np.float64).sum()
        scales = _scales(weights, policy)
        of_weights = np.square(scales, dtype=np.float64).sum() * weights.shape[1] * mean_squares[source]
        if of_weights > LEAST_RATIO * of_inputs:
            found[onnx_rules.layer_of(node.name)] = float(of_weights / of_inputs)
    return found


def round_weights(plain: Path, grams: Mapping[str, Tensor], policy: Policy, out: Path) -> None:
    """Writes an FP32 file whose layers have the weights that INT8 will give them, and the biases that fit to these.

    ``grams`` are, by layer, the Gram matrices of what it sees, with a one behind each patch: (d + 1, d + 1).
    """
    model = onnx.load(plain)
    biases = {tensor.name: tensor for tensor in model.graph.initializer}
    for node, stored in _weighted(model):
        gram = grams.get(onnx_rules.layer_of(node.name))
        if gram is None:
            continue
        bias = biases.get(node.input[2]) if len(node.input) > 2 else None
        weights = _by_channel(node, stored)
        free = gram if bias is not None else gram[:-1, :-1]
        found, shift = rounded(weights, _scales(weights, policy), free, STEPS[policy.weight_bits] // 2)
        _store(stored, _as_stored(node, found, stored))
        if bias is not None:
            _store(bias, numpy_helper.to_array(bias) + shift)
    documents.write_bytes(out, model.SerializeToString(deterministic=True))


def rounded(weights: Array, scales: Array, gram: Tensor, most: int) -> tuple[Array, Array]:
    """Weights (channels, d), each a multiple of its channel's scale, of at most ``most`` of them, and shifts of biases.

    ``gram`` is (d, d), or (d + 1, d + 1) where there are biases, which shift freely. The largest weight of a channel
    keeps its value, so that its scale stays.
    """
    inputs = weights.shape[1]
    square = _with_ridge(gram.double(), inputs)
    # What matters most goes first, while all others can still make up for it; the bias stands behind all.
    most_first = square.diagonal()[:inputs].argsort(descending=True)
    order = torch.cat([most_first, torch.arange(inputs, len(square))])
    inverse = torch.linalg.inv(square[order][:, order])
    exact = torch.nn.functional.pad(torch.tensor(weights).double(), (0, len(square) - inputs))
    in_turn = _in_turn(exact[:, order], torch.tensor(scales).double(), inverse, inputs, most)
    found = torch.empty_like(in_turn)
    found[:, order] = in_turn
    shift = found[:, inputs:].sum(1)
    return found[:, :inputs].float().numpy(), shift.float().numpy()


def _with_ridge(gram: Tensor, inputs: int) -> Tensor:
    square = gram.clone()
    diagonal = square.diagonal()[:inputs]
    # Where all inputs are 0 any ridge will do.
    diagonal += RIDGE * diagonal.mean().clamp(min=torch.finfo(square.dtype).tiny)
    return square


def _in_turn(exact: Tensor, steps: Tensor, inverse: Tensor, inputs: int, most: int) -> Tensor:
    """The first so many columns, rounded one after the other, and what is then best for those behind them.

    With U the upper Cholesky factor of the inverse Gram matrix, what column i is off by, over U_ii, times row i of U is
    what the columns behind it take back.
    """
    upper = torch.linalg.cholesky(inverse, upper=True)
    largest, left = exact.abs().argmax(1), exact.clone()
    for place in range(inputs):
        value = left[:, place]
        nearest = (value / steps).round().clamp(-most, most) * steps
        taken = torch.where(largest == place, exact[:, place], nearest)
        off = (value - taken) / upper[place, place]
        left[:, place:] -= off[:, None] * upper[place, place:]
    return left


def _weighted(model: ModelProto) -> Iterator[tuple[NodeProto, TensorProto]]:
    """The convolutions and matrix products with stored weights, and these."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        if node.op_type in onnx_rules.IN_INT8 and node.input[1] in stored:
            yield node, stored[node.input[1]]


def _is_grouped(node: NodeProto) -> bool:
    return any(attribute.name == "group" and attribute.i > 1 for attribute in node.attribute)


def _by_channel(node: NodeProto, stored: TensorProto) -> Array:
    """The weights of a node, a row for each channel of what it gives."""
    weights = numpy_helper.to_array(stored)
    axis = onnx_rules.output_axis(node, weights.ndim)
    rows = np.moveaxis(weights, axis, 0)
    return cast(Array, np.ascontiguousarray(rows.reshape(len(rows), -1)))


def _as_stored(node: NodeProto, rows: Array, stored: TensorProto) -> Array:
    """Weights in rows as the file has them."""
    axis = onnx_rules.output_axis(node, len(stored.dims))
    shape = [stored.dims[axis], *(size for place, size in enumerate(stored.dims) if place != axis)]
    return np.moveaxis(rows.reshape(shape), 0, axis)


def _store(tensor: TensorProto, values: Array) -> None:
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values, np.float32), tensor.name))


def _scales(weights: Array, policy: Policy) -> Array:
    return channel_scales(weights, STEPS[policy.weight_bits], qdq.LEAST_WIDTH)
