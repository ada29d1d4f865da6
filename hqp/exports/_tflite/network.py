"""The nodes of an ONNX file as operators of TFLite: in INT8 where what goes in and what comes out has a scale.

Weights, scales and zero points are those of the file. A result that it leaves in float between two INT8 tensors gets
the scale of what was seen on images, since INT8 operators here have no other results. A layer that the file has in
float stays in float.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hqp import onnx_rules
from hqp.errors import HqpError
from hqp.exports._tflite import ranges
from hqp.exports._tflite.file import INT8, VALID, Array, File, Scale, Value

TO_SIGNED = 128
# Sigmoid's scale is no choice: its kernels have this one.
UNIT = Scale(1 / 256, INT8[0])
NHWC = (0, 2, 3, 1)
# Names of the schema's enumerations.
NO_ACTIVATION, RELU, RELU6 = 0, 1, 3
# Beyond these, hard-swish and hard-sigmoid are a constant or a straight line.
FLAT = 3.0


def translated(onnx_file: Path, images: npt.NDArray[np.float32]) -> bytes:
    """The bytes of the TFLite file of an ONNX file; ``images`` are normalised, (n, channels, height, width).

    Raises:
        HqpError: an operator has no form in TFLite here.
    """
    model = onnx_rules.read(onnx_file)
    return _Network(onnx_file, model, ranges.seen(model, images)).translated()


class _Network:
    """One file's way from its nodes to TFLite's operators."""

    def __init__(self, path: Path, model: ModelProto, seen: Mapping[str, tuple[float, float]]) -> None:
        self._path, self._graph, self._seen = path, model.graph, seen
        self._shapes = onnx_rules.static_shapes(model)
        self._stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
        self._readers: dict[str, list[NodeProto]] = {}
        for node in model.graph.node:
            for name in node.input:
                self._readers.setdefault(name, []).append(node)
        self._file = File()
        # Of activations by their ONNX name; of weights also the steps of their INT8, along their outputs.
        self._values: dict[str, Value] = {}
        self._steps: dict[str, Array] = {}
        # Activation functions that the operator before them computes.
        self._fused: set[str] = set()

    def translated(self) -> bytes:
        """The bytes of the whole network."""
        (given,) = self._graph.input
        shape = self._shapes[given.name]
        self._values[given.name] = self._file.value([shape[at] for at in NHWC], self._wanted(given.name))
        for node in self._graph.node:
            if node.output[0] not in self._fused:
                self._translate(node)
        logits = self._values[self._graph.output[0].name]
        shape = self._shapes[self._graph.output[0].name]
        return self._file.packed(self._values[given.name], self._reshaped(logits, shape).index)

    def _translate(self, node: NodeProto) -> None:
        if node.op_type not in OPERATORS:
            wrong = f"{self._path}: {node.name} is {node.op_type}, of which the LiteRT export knows no form"
            raise HqpError(wrong, f"one of {', '.join(sorted(OPERATORS))}", "--export onnx")
        settings = {one.name: helper.get_attribute_value(one) for one in node.attribute}
        OPERATORS[node.op_type](self, node, settings)

    def _refused(self, node: NodeProto, why: str) -> HqpError:
        return HqpError(f"{self._path}: {node.name} {why}, which the LiteRT export has no form of", fix="--export onnx")

    # --- scales -------------------------------------------------------------------------------------------------------

    def _wanted(self, name: str) -> Scale | None:
        """The scale in which the first INT8 reader of a tensor takes it, as it is or in another shape."""
        for reader in self._readers.get(name, []):
            if reader.op_type == "QuantizeLinear":
                return self._scale_of(reader)
            if OPERATORS.get(reader.op_type) in (_Network.flatten, _Network.identity):
                return self._wanted(reader.output[0])
        return None

    def _scale_of(self, quantizer: NodeProto) -> Scale:
        step, zero = (self._stored[name] for name in quantizer.input[1:3])
        if step.size != 1:
            raise self._refused(quantizer, f"has {step.size} scales for one activation")
        return Scale(float(step), int(zero) - (TO_SIGNED if zero.dtype == np.uint8 else 0))

    def _result_scale(self, name: str, *inputs: Value) -> Scale | None:
        """The scale of a result of INT8 inputs; none where one of them is float."""
        if any(value.scale is None for value in inputs):
            return None
        wanted = self._wanted(name)
        if wanted is not None:
            return wanted
        low, high = self._seen[name]
        kinds = {reader.op_type for reader in self._readers.get(name, [])}
        if kinds and kinds <= {"HardSwish", "HardSigmoid"}:
            low = max(low, -FLAT)
        return Scale.spanning(low, high)

    # --- operators ----------------------------------------------------------------------------------------------------

    def quantize(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A Q of an activation."""
        self._values[node.output[0]] = self._file.converted(self._values[node.input[0]], self._scale_of(node))

    def dequantize(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A DQ: of an activation nothing, of a weight its steps, of a bias the numbers that it stands for."""
        name, out = node.input[0], node.output[0]
        if name in self._values:
            self._values[out] = self._values[name]
            return
        stored, step = self._stored[name], self._stored[node.input[1]]
        if stored.dtype == np.int8:
            self._stored[out], self._steps[out] = stored, step
        else:
            self._stored[out] = (stored * step.astype(np.float64)).astype(np.float32)

    def conv(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A convolution, also of groups, and of one channel each."""
        weight = self._stored[node.input[1]]
        if weight.ndim != 4:
            raise self._refused(node, f"has {weight.ndim - 2} dimensions")
        bias = self._stored[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        self._convolve(node, settings, weight, self._steps.get(node.input[1]), bias)

    def gemm(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A product, as a convolution of one pixel: that one has a scale for each output everywhere."""
        if settings.get("transA") or settings.get("alpha", 1) != 1 or settings.get("beta", 1) != 1:
            raise self._refused(node, "has a transposed input, or a factor")
        weight = self._stored[node.input[1]]
        weight = weight if settings.get("transB") else weight.T
        bias = self._stored[node.input[2]] if len(node.input) > 2 else np.zeros(len(weight), np.float32)
        self._convolve(node, {}, weight[:, :, None, None], self._steps.get(node.input[1]), bias)

    def batch_norm(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A batch norm, as a convolution of each channel with one weight, which eight bits hold as it is."""
        gain, shift, mean, variance = (self._stored[name].astype(np.float64) for name in node.input[1:])
        slope = gain / np.sqrt(variance + settings.get("epsilon", 1e-5))
        bias = (shift - mean * slope).astype(np.float32)
        steps = np.maximum(np.abs(slope), 1e-12) / INT8[1]
        weight = np.round(slope / steps).astype(np.int8)[:, None, None, None]
        self._convolve(node, {"group": len(slope)}, weight, steps.astype(np.float32), bias)

    def _convolve(
        self, node: NodeProto, settings: dict[str, Any], weight: Array, steps: Array | None, bias: Array
    ) -> None:
        """Writes a convolution of ``weight`` (outputs, inputs of a group, height, width) in INT8, or in float."""
        given, (name, activation) = self._values[node.input[0]], self._with_activation(node)
        scale = None if steps is None else self._result_scale(name, given)
        given = given if scale is not None else self._file.converted(given, None)
        # One filter or more for each channel is an operator of its own, with the outputs in the last dimension.
        depthwise = settings.get("group", 1) == given.shape[3] > 1
        kernel = weight.transpose((1, 2, 3, 0) if depthwise else NHWC)
        kind, options = ("DEPTHWISE_CONV_2D", "DepthwiseConv2D") if depthwise else ("CONV_2D", "Conv2D")
        more = {"depthMultiplier": len(weight) // given.shape[3]} if depthwise else {}
        constants = self._filters(kernel, steps, 3 if depthwise else 0, bias, given.scale)
        strides, dilations = settings.get("strides", [1, 1]), settings.get("dilations", [1, 1])
        padded, padding = self._file.padded(given, settings.get("pads"), weight.shape[2:], strides, dilations)
        more |= {"strideH": strides[0], "strideW": strides[1], "padding": padding}
        more |= {"dilationHFactor": dilations[0], "dilationWFactor": dilations[1]}
        self._values[name] = self._file.add(
            kind,
            [padded.index, *constants],
            self._file.value(self._shape(name), scale),
            f"{options}Options",
            fusedActivationFunction=activation,
            **more,
        )

    def _filters(self, kernel: Array, steps: Array | None, axis: int, bias: Array, given: Scale | None) -> list[int]:
        """The filters and the biases of a convolution whose input has a scale, or is float."""
        if steps is None:
            return [self._file.numbers(kernel), self._file.numbers(bias)]
        steps = np.broadcast_to(steps, len(bias)).astype(np.float32)
        filters = self._file.numbers(kernel, steps, axis)
        if given is None:
            return [self._file.unpacked(filters, kernel.shape), self._file.numbers(bias)]
        # TFLite has biases in the steps of what is summed up: those of the input times those of the filters.
        products = given.step * steps.astype(np.float64)
        whole = np.clip(np.round(bias / products), -(2**31), 2**31 - 1).astype(np.int32)
        return [filters, self._file.numbers(whole, products.astype(np.float32))]

    def max_pool(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A maximum of windows."""
        if any(step != 1 for step in settings.get("dilations", [])):
            raise self._refused(node, "has holes in its windows")
        self._pool(node, settings, "MAX_POOL_2D", lowest=True)

    def average_pool(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A mean of windows."""
        self._pool(node, settings, "AVERAGE_POOL_2D", lowest=False)

    def _pool(self, node: NodeProto, settings: dict[str, Any], kind: str, *, lowest: bool) -> None:
        given, name = self._values[node.input[0]], node.output[0]
        size, strides, shape = settings["kernel_shape"], settings.get("strides", [1, 1]), self._shape(name)
        pads = list(settings.get("pads", [0, 0, 0, 0]))
        # With ceil_mode the last window may reach beyond what is padded.
        for at in (0, 1):
            pads[2 + at] = max(0, (shape[1 + at] - 1) * strides[at] + size[at] - given.shape[1 + at] - pads[at])
        padded, padding = self._file.padded(given, pads, size, strides, [1, 1], lowest=lowest)
        if kind == "AVERAGE_POOL_2D" and any(pads) and (padding == VALID) != bool(settings.get("count_include_pad")):
            raise self._refused(node, "counts its padding otherwise")
        window = {"filterHeight": size[0], "filterWidth": size[1], "strideH": strides[0], "strideW": strides[1]}
        output = self._file.value(shape, given.scale)
        self._values[name] = self._file.add(kind, [padded.index], output, "Pool2DOptions", padding=padding, **window)

    def add(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A sum."""
        self._combine(node, "ADD", "AddOptions")

    def subtract(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A difference."""
        self._combine(node, "SUB", "SubOptions")

    def multiply(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A product of two tensors, element by element."""
        self._combine(node, "MUL", "MulOptions")

    def _combine(self, node: NodeProto, kind: str, options: str) -> None:
        name, activation = self._with_activation(node)
        known = [self._values[one] for one in node.input if one in self._values]
        scale = self._result_scale(name, *known)
        operands = [self._operand(one, len(self._shapes[name]), scale is not None) for one in node.input]
        output = self._file.value(self._shape(name), scale)
        inputs = [operand.index for operand in operands]
        self._values[name] = self._file.add(kind, inputs, output, options, fusedActivationFunction=activation)

    def _operand(self, name: str, rank: int, quantised: bool) -> Value:
        if name in self._values:
            return self._values[name] if quantised else self._file.converted(self._values[name], None)
        values = self._stored[name]
        values = values.reshape([1] * (rank - values.ndim) + list(values.shape))
        values = values.transpose(NHWC) if rank == 4 else values.reshape(1, 1, 1, -1)
        return self._file.constant(values, quantised=quantised)

    def concat(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """Channels behind each other, in one scale."""
        name = node.output[0]
        if settings["axis"] % len(self._shapes[name]) != 1:
            raise self._refused(node, "joins another axis than channels")
        parts = [self._values[one] for one in node.input]
        scale = self._result_scale(name, *parts)
        inputs = [self._file.converted(part, scale).index for part in parts]
        output = self._file.value(self._shape(name), scale)
        self._values[name] = self._file.add("CONCATENATION", inputs, output, "ConcatenationOptions", axis=3)

    def mean(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """The mean of each channel."""
        # An attribute until opset 17, an input since.
        stored = self._stored[node.input[1]] if len(node.input) > 1 else [2, 3]
        axes = settings.get("axes", stored)
        given, name = self._values[node.input[0]], node.output[0]
        if sorted(int(axis) % 4 for axis in axes) != [2, 3]:
            raise self._refused(node, "takes a mean along other axes than height and width")
        output = self._file.value(self._shape(name), self._result_scale(name, given))
        inputs = [given.index, self._file.whole([1, 2])]
        self._values[name] = self._file.add("MEAN", inputs, output, "ReducerOptions", keepDims=True)

    def flatten(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A vector of an image, channel by channel."""
        given, shape = self._values[node.input[0]], self._shapes[node.output[0]]
        pixels = given.shape[1] * given.shape[2]
        if (len(shape) == 4 and self._shape(node.output[0]) != given.shape) or len(shape) not in (2, 4):
            raise self._refused(node, f"gives the shape {shape}")
        if len(shape) == 2 and pixels > 1:
            order = self._file.whole([0, 3, 1, 2])
            turned = self._file.value([given.shape[at] for at in (0, 3, 1, 2)], given.scale)
            given = self._file.add("TRANSPOSE", [given.index, order], turned, "TransposeOptions")
            given = self._reshaped(given, self._shape(node.output[0]))
        self._values[node.output[0]] = given

    def identity(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """Nothing."""
        self._values[node.output[0]] = self._values[node.input[0]]

    def relu(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """A rectifier that no operator before it computes."""
        activation = self._activation(node)
        if activation is None:
            raise self._refused(node, "clips to other bounds than 0 and 6")
        self._unary(node, {RELU: "RELU", RELU6: "RELU6"}[activation])

    def hard_swish(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """x · hard-sigmoid(x)."""
        self._unary(node, "HARD_SWISH", "HardSwishOptions")

    def sigmoid(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """1 / (1 + exp(-x))."""
        given = self._values[node.input[0]]
        output = self._file.value(given.shape, None if given.scale is None else UNIT)
        self._values[node.output[0]] = self._file.add("LOGISTIC", [given.index], output)

    def hard_sigmoid(self, node: NodeProto, settings: dict[str, Any]) -> None:
        """relu6(x + 3) / 6, which TFLite has no operator of."""
        if abs(settings.get("alpha", 0.2) - 1 / 6) > 1e-6 or settings.get("beta", 0.5) != 0.5:
            raise self._refused(node, "has another slope than 1/6")
        given, quantised = self._values[node.input[0]], self._values[node.input[0]].scale is not None
        scales = [Scale(top / 255, INT8[0]) if quantised else None for top in (2 * FLAT, 1.0)]
        shift, sixth = (
            self._file.constant(np.full((1, 1, 1, 1), number, np.float32), quantised=quantised)
            for number in (FLAT, 1 / (2 * FLAT))
        )
        moved, output = (self._file.value(given.shape, scale) for scale in scales)
        self._file.add("ADD", [given.index, shift.index], moved, "AddOptions", fusedActivationFunction=RELU6)
        self._values[node.output[0]] = self._file.add("MUL", [moved.index, sixth.index], output, "MulOptions")

    def _unary(self, node: NodeProto, kind: str, options: str = "") -> None:
        given, name = self._values[node.input[0]], node.output[0]
        output = self._file.value(given.shape, self._result_scale(name, given))
        self._values[name] = self._file.add(kind, [given.index], output, options)

    # --- shared -------------------------------------------------------------------------------------------------------

    def _shape(self, name: str) -> tuple[int, ...]:
        shape = self._shapes[name]
        return tuple(shape[at] for at in NHWC) if len(shape) == 4 else (shape[0], 1, 1, shape[-1])

    def _with_activation(self, node: NodeProto) -> tuple[str, int]:
        """The name of what an operator gives, and the rectifier that it computes in passing."""
        name = node.output[0]
        readers = self._readers.get(name, [])
        activation = self._activation(readers[0]) if len(readers) == 1 else None
        if activation is None:
            return name, NO_ACTIVATION
        self._fused.add(readers[0].output[0])
        return readers[0].output[0], activation

    def _activation(self, node: NodeProto) -> int | None:
        if node.op_type == "Relu":
            return RELU
        if node.op_type != "Clip":
            return None
        bounds = [float(self._stored[name]) if name in self._stored else None for name in node.input[1:]]
        return RELU6 if bounds == [0, 6] else None

    def _reshaped(self, given: Value, shape: Any) -> Value:
        if tuple(shape) == given.shape:
            return given
        sizes = self._file.whole(shape)
        output = self._file.value(shape, given.scale)
        return self._file.add("RESHAPE", [given.index, sizes], output, "ReshapeOptions", newShape=list(shape))


OPERATORS: dict[str, Callable[[_Network, NodeProto, dict[str, Any]], None]] = {
    "Add": _Network.add,
    "AveragePool": _Network.average_pool,
    "BatchNormalization": _Network.batch_norm,
    "Clip": _Network.relu,
    "Concat": _Network.concat,
    "Conv": _Network.conv,
    "DequantizeLinear": _Network.dequantize,
    "Flatten": _Network.flatten,
    "Gemm": _Network.gemm,
    "GlobalAveragePool": _Network.mean,
    "HardSigmoid": _Network.hard_sigmoid,
    "HardSwish": _Network.hard_swish,
    "Identity": _Network.identity,
    "MaxPool": _Network.max_pool,
    "Mul": _Network.multiply,
    "QuantizeLinear": _Network.quantize,
    "ReduceMean": _Network.mean,
    "Relu": _Network.relu,
    "Reshape": _Network.flatten,
    "Sigmoid": _Network.sigmoid,
    "Squeeze": _Network.flatten,
    "Sub": _Network.subtract,
}
