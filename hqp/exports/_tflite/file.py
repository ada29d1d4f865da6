"""A TFLite file as it is written: tensors, constants, and operators one after another.

A vector is an image of one pixel here, so that every tensor has four dimensions: batch, height, width, channels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

INT8 = -128, 127
# Of the schema, and how a file of it begins.
SCHEMA_VERSION, IDENTIFIER = 3, b"TFL3"
# How a window's image is padded: so that its size is kept, or not at all.
SAME, VALID = 0, 1
# The first version of each operator that takes INT8; of what is not here, that is the first.
VERSIONS = {
    "ADD": 2, "AVERAGE_POOL_2D": 2, "CONCATENATION": 2, "CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "DEQUANTIZE": 2,
    "LOGISTIC": 2, "MAX_POOL_2D": 2, "MEAN": 2, "MUL": 2, "PAD": 2, "PADV2": 2, "QUANTIZE": 2, "RELU": 2, "RELU6": 2,
    "SUB": 2, "TRANSPOSE": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Scale:
    """How eight bits stand for a number: ``(stored - zero) * step``."""

    step: float
    zero: int

    @classmethod
    def spanning(cls, low: float, high: float) -> Scale:
        """The finest scale that holds a range, and 0 exactly."""
        low, high = min(low, 0.0), max(high, 0.0)
        step = max(high - low, 1e-6) / (INT8[1] - INT8[0])
        return cls(step, round(INT8[0] - low / step))

    @property
    def range(self) -> tuple[float, float]:
        """The lowest and the highest number that it holds."""
        return (INT8[0] - self.zero) * self.step, (INT8[1] - self.zero) * self.step


@dataclass(frozen=True)
class Value:
    """A tensor of the file: INT8 with a scale, or float32 without one."""

    index: int
    shape: tuple[int, ...]
    scale: Scale | None


class File:
    """Collects what a file holds, and gives its bytes."""

    def __init__(self) -> None:
        from ai_edge_litert import schema_py_generated

        self._schema: Any = schema_py_generated
        self._graph = self._schema.SubGraphT()
        self._graph.tensors, self._graph.operators = [], []
        # The first is the empty one, of every tensor that is computed.
        self._buffers = [self._schema.BufferT()]
        self._codes: dict[str, int] = {}

    def value(self, shape: Sequence[int], scale: Scale | None) -> Value:
        """A tensor that is computed."""
        kind = "FLOAT32" if scale is None else "INT8"
        steps = None if scale is None else ([scale.step], [scale.zero], 0)
        return Value(self._tensor(shape, kind, 0, steps), tuple(shape), scale)

    def numbers(self, values: Array, steps: Array | None = None, axis: int = 0, zero: int = 0) -> int:
        """A constant of int32, int8 or float32; ``steps`` are its scales along an axis, about one zero point."""
        kind = {"int8": "INT8", "int32": "INT32", "float32": "FLOAT32"}[str(values.dtype)]
        buffer = self._schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self._buffers.append(buffer)
        quantised = None if steps is None else (steps.ravel().tolist(), [zero] * steps.size, axis)
        return self._tensor(values.shape, kind, len(self._buffers) - 1, quantised)

    def whole(self, values: Any) -> int:
        """A constant of int32: axes, sizes, the widths of a border."""
        return self.numbers(np.array(values, np.int32))

    def constant(self, values: Array, *, quantised: bool) -> Value:
        """A float constant of four dimensions, or the same in INT8, by a scale about 0."""
        if not quantised:
            return Value(self.numbers(values.astype(np.float32)), values.shape, None)
        scale = Scale(max(float(np.abs(values).max()), 1e-6) / INT8[1], 0)
        stored = np.round(values / scale.step).astype(np.int8)
        return Value(self.numbers(stored, np.array([scale.step])), values.shape, scale)

    def add(self, name: str, inputs: Sequence[int], output: Value, options: str = "", **settings: Any) -> Value:
        """An operator with its result; ``options`` is its table in the schema, with these fields."""
        operator = self._schema.OperatorT()
        operator.opcodeIndex = self._codes.setdefault(name, len(self._codes))
        operator.inputs, operator.outputs = list(inputs), [output.index]
        if options:
            operator.builtinOptionsType = getattr(self._schema.BuiltinOptions, options)
            operator.builtinOptions = getattr(self._schema, f"{options}T")()
            for field, setting in settings.items():
                setattr(operator.builtinOptions, field, setting)
        self._graph.operators.append(operator)
        return output

    def converted(self, given: Value, scale: Scale | None) -> Value:
        """A tensor in another scale, or in float32 for ``None``; itself where it has that already."""
        if given.scale == scale:
            return given
        name = "DEQUANTIZE" if scale is None else "QUANTIZE"
        return self.add(name, [given.index], self.value(given.shape, scale))

    def padded(
        self, given: Value, pads: Any, size: Any, strides: Any, dilations: Any, *, lowest: bool = False
    ) -> tuple[Value, int]:
        """An image with its border, where no rule of TFLite pads alike; and the rule of what reads it.

        The border is 0, or the lowest number that there is.
        """
        if not pads or not any(pads):
            return given, VALID
        widths = [(pads[at], pads[2 + at]) for at in (0, 1)]
        reach = [(size[at] - 1) * dilations[at] + 1 for at in (0, 1)]
        if widths == [_same(given.shape[1 + at], reach[at], strides[at]) for at in (0, 1)]:
            return given, SAME
        shape = [given.shape[0], *(given.shape[1 + at] + sum(widths[at]) for at in (0, 1)), given.shape[3]]
        border = self.whole([(0, 0), *widths, (0, 0)])
        output, inputs = self.value(shape, given.scale), [given.index, border]
        # PAD writes zeros, and these are the lowest where nothing is below.
        if not lowest or (given.scale is not None and given.scale.zero == INT8[0]):
            return self.add("PAD", inputs, output, "PadOptions"), VALID
        if given.scale is None:
            least = self.numbers(np.array([np.finfo(np.float32).min]))
        else:
            least = self.numbers(np.array([INT8[0]], np.int8), np.array([given.scale.step]), zero=given.scale.zero)
        return self.add("PADV2", [*inputs, least], output, "PadV2Options"), VALID

    def unpacked(self, stored: int, shape: Sequence[int]) -> int:
        """A constant of INT8 in float32."""
        return self.add("DEQUANTIZE", [stored], self.value(shape, None)).index

    def packed(self, given: Value, gives: int) -> bytes:
        """The bytes of the file, of an input and the index of an output."""
        import flatbuffers

        self._graph.inputs, self._graph.outputs = [given.index], [gives]
        model = self._schema.ModelT()
        model.version, model.subgraphs, model.buffers = SCHEMA_VERSION, [self._graph], self._buffers
        model.operatorCodes = [self._code(name) for name in self._codes]
        builder = flatbuffers.Builder(1 << 20)
        builder.Finish(model.Pack(builder), IDENTIFIER)
        return bytes(builder.Output())

    def _tensor(
        self, shape: Sequence[int], kind: str, buffer: int, quantised: tuple[list[float], list[int], int] | None
    ) -> int:
        tensor = self._schema.TensorT()
        tensor.name, tensor.shape, tensor.buffer = f"t{len(self._graph.tensors)}", list(shape), buffer
        tensor.type = getattr(self._schema.TensorType, kind)
        if quantised is not None:
            tensor.quantization = self._schema.QuantizationParametersT()
            scales, zeros, axis = quantised
            tensor.quantization.scale, tensor.quantization.zeroPoint = scales, zeros
            tensor.quantization.quantizedDimension = axis
        self._graph.tensors.append(tensor)
        return len(self._graph.tensors) - 1

    def _code(self, name: str) -> Any:
        code = self._schema.OperatorCodeT()
        code.builtinCode = getattr(self._schema.BuiltinOperator, name)
        # What readers older than codes above 127 look at.
        code.deprecatedBuiltinCode = min(code.builtinCode, 127)
        code.version = VERSIONS.get(name, 1)
        return code


def _same(size: int, reach: int, stride: int) -> tuple[int, int]:
    """How TFLite's SAME pads a side, before and after."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2
