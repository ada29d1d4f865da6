"""An ONNX file as a torch module of the same arithmetic, of which the exports are made that start from PyTorch.

It is built from the file that is shipped, so that what is exported is what was judged, not the network before it was
quantised: INT8 weights stay INT8, and each Q and DQ stays where it is. Two things are spelt otherwise, which changes no
number: a UINT8 scale becomes INT8, 128 lower with its zero point, and an INT32 bias is kept as the float it stands for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import NodeProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional

from hqp.errors import HqpError

# What an operator becomes: a function of its attributes, then of its inputs.
Operator = Callable[..., Any]
Array = npt.NDArray[Any]

INT8 = -128, 127
TO_SIGNED = 128


def network(onnx_file: Path, quantised: Mapping[str, Operator] | None = None) -> nn.Module:
    """The network of a file in evaluation mode, of an image to the logits.

    ``quantised`` are the functions that QuantizeLinear and DequantizeLinear become, by default plain arithmetic.

    Raises:
        HqpError: an operator has no form in torch here.
    """
    operators = {**OPERATORS, **(quantised or PLAIN)}
    model = onnx.load(onnx_file)
    for node in model.graph.node:
        if node.op_type not in operators:
            wrong = f"{onnx_file}: {node.name} is {node.op_type}, of which the exports through PyTorch know no form"
            raise HqpError(wrong, f"one of {', '.join(sorted(operators))}", "--export onnx")
    return _Network(model.graph, operators).eval()


def example(onnx_file: Path) -> Tensor:
    """An input of a file's network, of zeros."""
    (given,) = onnx.load(onnx_file).graph.input
    return torch.zeros([size.dim_value for size in given.type.tensor_type.shape.dim])


def logits(network: Callable[[Tensor], Any], images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a network of one image gives for several, image by image."""
    with torch.inference_mode():
        rows = [network(torch.from_numpy(image[None])).numpy() for image in images]
    return np.concatenate(rows)


class _Network(nn.Module):
    """Runs the nodes of a graph in their order; what is constant is a buffer, or a plain number."""

    def __init__(self, graph: onnx.GraphProto, operators: Mapping[str, Operator]) -> None:
        super().__init__()
        self._given, self._gives = graph.input[0].name, graph.output[0].name
        self._plain: dict[str, Any] = {"": None}
        self._buffer_of: dict[str, str] = {}
        constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        self._steps: list[tuple[NodeProto, dict[str, Any], Operator]] = []
        for node in graph.node:
            attributes = {one.name: _decoded(helper.get_attribute_value(one)) for one in node.attribute}
            if node.op_type == "DequantizeLinear" and constants.get(node.input[0], np.empty(0)).dtype == np.int32:
                constants[node.output[0]] = _bias(*(constants[name] for name in node.input[:2]))
            else:
                self._steps.append((node, attributes, operators[node.op_type]))
        for name in sorted({name for node, _, _ in self._steps for name in node.input} & constants.keys()):
            self._keep(name, constants[name])

    def _keep(self, name: str, value: Array) -> None:
        """Keeps a constant: one of no dimension as a number, a list of integers as that, any other as a buffer."""
        if value.dtype == np.uint8:
            value = (value.astype(np.int16) - TO_SIGNED).astype(np.int8)
        if value.ndim == 0 or value.dtype == np.int64:
            self._plain[name] = value.tolist()
        else:
            self._buffer_of[name] = f"c{len(self._buffer_of)}_{re.sub(r'[^0-9A-Za-z]+', '_', name)}"
            self.register_buffer(self._buffer_of[name], torch.from_numpy(value.copy()))

    def forward(self, image: Tensor) -> Tensor:
        values = {**self._plain, self._given: image}
        values |= {name: getattr(self, buffer) for name, buffer in self._buffer_of.items()}
        for node, attributes, operator in self._steps:
            made = operator(attributes, *(values[name] for name in node.input))
            values.update(zip(node.output, made if isinstance(made, tuple) else (made,), strict=False))
        return values[self._gives]


def _decoded(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value


def _bias(stored: Array, scale: Array) -> Array:
    return (stored * scale.astype(np.float64)).astype(np.float32)


# --- operators --------------------------------------------------------------------------------------------------------


def _conv(at: dict[str, Any], x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    before, after = _halves(at.get("pads", [0] * 2 * (weight.ndim - 2)))
    if before != after:
        x, before = functional.pad(x, _torch_order(before, after)), [0] * len(before)
    convolution = functional.conv2d if weight.ndim == 4 else functional.conv1d
    strides, dilations = at.get("strides", 1), at.get("dilations", 1)
    return convolution(x, weight, bias, strides, before, dilations, at.get("group", 1))


def _gemm(at: dict[str, Any], left: Tensor, right: Tensor, bias: Tensor | None = None) -> Tensor:
    left = left.T if at.get("transA") else left
    weight = right if at.get("transB") else right.T
    if at.get("alpha", 1.0) != 1 or at.get("beta", 1.0) != 1:
        return at.get("alpha", 1.0) * (left @ weight.T) + at.get("beta", 1.0) * (0 if bias is None else bias)
    return functional.linear(left, weight, bias)


def _max_pool(at: dict[str, Any], x: Tensor) -> Tensor:
    return _pooled(at, x, float("-inf"), functional.max_pool2d, dilation=at.get("dilations", 1))


def _average_pool(at: dict[str, Any], x: Tensor) -> Tensor:
    return _pooled(at, x, 0.0, functional.avg_pool2d, count_include_pad=bool(at.get("count_include_pad")))


def _pooled(at: dict[str, Any], x: Tensor, padding: float, pool: Operator, **more: Any) -> Tensor:
    before, after = _halves(at.get("pads", [0, 0, 0, 0]))
    kernel, ceil = at["kernel_shape"], bool(at.get("ceil_mode"))
    if before != after:
        x, before = functional.pad(x, _torch_order(before, after), value=padding), [0, 0]
    return pool(x, kernel, at.get("strides", [1, 1]), before, ceil_mode=ceil, **more)


def _halves(pads: list[int]) -> tuple[list[int], list[int]]:
    """How wide each dimension is padded before and after."""
    return list(pads[: len(pads) // 2]), list(pads[len(pads) // 2 :])


def _torch_order(before: list[int], after: list[int]) -> list[int]:
    """Widths as torch takes them, from the last dimension on."""
    return [width for pair in zip(reversed(before), reversed(after), strict=True) for width in pair]


def _pad(at: dict[str, Any], x: Tensor, pads: list[int], value: float | None = None, *_: Any) -> Tensor:
    before, after = _halves(pads)
    mode = {"constant": "constant", "reflect": "reflect", "edge": "replicate"}[at.get("mode", "constant")]
    widths = _torch_order(before, after)
    if mode == "constant":
        return functional.pad(x, widths, value=value or 0.0)
    return functional.pad(x, widths[:4], mode)


def _flatten(at: dict[str, Any], x: Tensor) -> Tensor:
    axis = at.get("axis", 1)
    return x.flatten(1) if axis == 1 else x.reshape(int(np.prod(x.shape[:axis])), -1)


def _reshape(at: dict[str, Any], x: Tensor, shape: list[int]) -> Tensor:
    return x.reshape([x.shape[place] if size == 0 else size for place, size in enumerate(shape)])


def _slice(
    at: dict[str, Any], x: Tensor, starts: list[int], ends: list[int], axes: Any = None, steps: Any = None
) -> Tensor:
    for place, (start, end) in enumerate(zip(starts, ends, strict=True)):
        window = [slice(None)] * x.ndim
        window[axes[place] if axes else place] = slice(start, end, steps[place] if steps else 1)
        x = x[tuple(window)]
    return x


def _split(at: dict[str, Any], x: Tensor, sizes: list[int] | None = None) -> tuple[Tensor, ...]:
    axis = at.get("axis", 0)
    return x.split(sizes, axis) if sizes else x.chunk(at.get("num_outputs", 2), axis)


def _gather(at: dict[str, Any], x: Tensor, indices: Any) -> Tensor:
    axis = at.get("axis", 0)
    if isinstance(indices, int):
        return x.select(axis, indices)
    return x.index_select(axis, torch.tensor(indices, device=x.device))


def _reduced(reduce: Operator, at: dict[str, Any], x: Tensor, axes: list[int] | None = None) -> Tensor:
    return reduce(x, at.get("axes") or axes or list(range(x.ndim)), keepdim=bool(at.get("keepdims", 1)))


def _layer_norm(at: dict[str, Any], x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor:
    return functional.layer_norm(x, scale.shape, scale, bias, at.get("epsilon", 1e-5))


def _batch_norm(at: dict[str, Any], x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor) -> Tensor:
    return functional.batch_norm(x, mean, var, scale, bias, eps=at.get("epsilon", 1e-5))


def _hard_sigmoid(at: dict[str, Any], x: Tensor) -> Tensor:
    # Torch's own has the slope 1/6, as which the exporter writes 0.1666….
    if abs(at.get("alpha", 0.2) - 1 / 6) < 1e-6 and at.get("beta", 0.5) == 0.5:
        return functional.hardsigmoid(x)
    return (at.get("alpha", 0.2) * x + at.get("beta", 0.5)).clamp(0, 1)


def _clip(at: dict[str, Any], x: Tensor, low: float | None = None, high: float | None = None) -> Tensor:
    return functional.relu6(x) if (low, high) == (0, 6) else x.clamp(low, high)


def _unsqueeze(at: dict[str, Any], x: Tensor, axes: list[int]) -> Tensor:
    for axis in axes:
        x = x.unsqueeze(axis)
    return x


OPERATORS: dict[str, Operator] = {
    "Abs": lambda at, x: x.abs(),
    "Add": lambda at, left, right: left + right,
    "AveragePool": _average_pool,
    "BatchNormalization": _batch_norm,
    "Cast": lambda at, x: x.to(torch.from_numpy(np.empty(0, helper.tensor_dtype_to_np_dtype(at["to"]))).dtype),
    "Clip": _clip,
    "Concat": lambda at, *given: torch.cat(given, at["axis"]),
    "Conv": _conv,
    "Div": lambda at, left, right: left / right,
    "Elu": lambda at, x: functional.elu(x, at.get("alpha", 1.0)),
    "Erf": lambda at, x: torch.erf(x),
    "Exp": lambda at, x: torch.exp(x),
    "Flatten": _flatten,
    "Gather": _gather,
    "Gemm": _gemm,
    "GlobalAveragePool": lambda at, x: functional.adaptive_avg_pool2d(x, 1),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda at, x: functional.hardswish(x),
    "Identity": lambda at, x: x,
    "LayerNormalization": _layer_norm,
    "LeakyRelu": lambda at, x: functional.leaky_relu(x, at.get("alpha", 0.01)),
    "MatMul": lambda at, left, right: left @ right,
    "MaxPool": _max_pool,
    "Mul": lambda at, left, right: left * right,
    "PRelu": lambda at, x, slope: torch.where(x < 0, x * slope, x),
    "Pad": _pad,
    "Neg": lambda at, x: -x,
    "Pow": lambda at, left, right: left**right,
    "ReduceMean": lambda at, *given: _reduced(torch.mean, at, *given),
    "ReduceSum": lambda at, *given: _reduced(torch.sum, at, *given),
    "Relu": lambda at, x: torch.relu(x),
    "Reshape": _reshape,
    "Sigmoid": lambda at, x: torch.sigmoid(x),
    "Slice": _slice,
    "Softmax": lambda at, x: x.softmax(at.get("axis", -1)),
    "Softplus": lambda at, x: functional.softplus(x),
    "Split": _split,
    "Sqrt": lambda at, x: torch.sqrt(x),
    "Squeeze": lambda at, x, axes=None: x.squeeze(axes),
    "Sub": lambda at, left, right: left - right,
    "Tanh": lambda at, x: torch.tanh(x),
    "Transpose": lambda at, x: x.permute(at["perm"]),
    "Unsqueeze": _unsqueeze,
}


# --- quantised --------------------------------------------------------------------------------------------------------


def _quantise(at: dict[str, Any], x: Tensor, scale: Any, zero_point: Any = 0) -> Tensor:
    scale, zero_point = (_along(value, at, x) for value in (scale, zero_point))
    return (torch.round(x / scale) + zero_point).clamp(*INT8).to(torch.int8)


def _dequantise(at: dict[str, Any], x: Tensor, scale: Any, zero_point: Any = 0) -> Tensor:
    scale, zero_point = (_along(value, at, x) for value in (scale, zero_point))
    return (x.to(torch.float32) - zero_point) * scale


def _along(value: Any, at: dict[str, Any], x: Tensor) -> Any:
    """Values of channels in the shape in which they act upon these; a number as it is."""
    if not isinstance(value, Tensor):
        return value
    shape = [1] * x.ndim
    shape[at.get("axis", 1)] = -1
    return value.reshape(shape)


PLAIN = {"QuantizeLinear": _quantise, "DequantizeLinear": _dequantise}


def pt2e() -> Mapping[str, Operator]:
    """The operators in which PyTorch's own quantisation writes Q and DQ, by which compilers find what is INT8."""
    # Registers them.
    import torch.ao.quantization.fx._decomposed

    decomposed = torch.ops.quantized_decomposed

    def quantise(at: dict[str, Any], x: Tensor, scale: Any, zero_point: Any = 0) -> Tensor:
        if isinstance(scale, Tensor):
            return decomposed.quantize_per_channel(x, scale, zero_point, at.get("axis", 1), *INT8, torch.int8)
        return decomposed.quantize_per_tensor(x, scale, zero_point, *INT8, torch.int8)

    def dequantise(at: dict[str, Any], x: Tensor, scale: Any, zero_point: Any = 0) -> Tensor:
        if isinstance(scale, Tensor):
            return decomposed.dequantize_per_channel(x, scale, zero_point, at.get("axis", 1), *INT8, torch.int8)
        return decomposed.dequantize_per_tensor(x, scale, zero_point, *INT8, torch.int8)

    return {"QuantizeLinear": quantise, "DequantizeLinear": dequantise}
