"""What every runtime here accepts of an ONNX file: the lint that exporters and runtimes share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from hqp.errors import Damaged, HqpError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

# Per-channel scales need 13; 21 is the newest that each of the lowest versions of the runtimes reads.
OPSETS = range(13, 22)
# TensorRT 8.5 reads no newer one. Scales in FP16, which TensorRT 11 alone is given, need 19.
TENSORRT_OPSETS, HALF_SCALES_OPSETS = range(13, 18), range(19, 22)

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")

# ONNX's other ways to compute in INT8.
INTEGER_OPERATORS = ("ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul")
# What the engine quantises.
IN_INT8 = ("Conv", "Gemm", "MatMul")


def check(path: Path, *, symmetric_only: bool = False) -> None:
    """Passes a file that ``lint`` finds nothing in.

    Raises:
        HqpError: the first finding, and how many more there are.
        Damaged: the file is cut off, or no ONNX file.
    """
    findings = lint(path, symmetric_only=symmetric_only)
    if findings:
        more = f", and {len(findings) - 1} more" if len(findings) > 1 else ""
        raise HqpError(f"{path}: {findings[0]}{more}", "a file that hqp compress wrote")


def lint(path: Path, *, symmetric_only: bool = False) -> tuple[str, ...]:
    """What stands between a file and the runtimes, a sentence each; nothing where all of them take it.

    ``symmetric_only``: also what TensorRT asks for, signed activations with the zero point 0, biases in float, the
    scales of weights along their outputs, and residual sums that it fuses with the convolution before.

    Raises:
        HqpError: there is no such file.
        Damaged: the file is cut off, or no ONNX file.
    """
    model = read(path)
    opsets = _tensorrt_opsets(model.graph) if symmetric_only else OPSETS
    try:
        # In a file that is not even valid, the rules that follow have nothing to hold on to.
        broken = tuple(_external_data(model.graph, path.parent)) or tuple(validity(model))
        return (*_opset(model, opsets), *(broken or _rules(model, symmetric_only)))
    except (ValueError, TypeError, LookupError) as error:  # a name or a tensor that cannot be read
        raise _damaged(path, str(error)) from None


def read(path: Path) -> ModelProto:
    """The model in a file, without data stored outside of it.

    Raises:
        HqpError: there is no such file.
        Damaged: the file is cut off, or no ONNX file.
    """
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except FileNotFoundError:
        raise HqpError(f"there is no file {path}", fix="hqp compress MODEL") from None
    except (DecodeError, IsADirectoryError) as error:
        raise _damaged(path, str(error)) from None
    if not model.graph.node:
        raise _damaged(path, "it holds no network")
    return model


def _damaged(path: Path, reason: str) -> Damaged:
    return Damaged(f"{path} is cut off, or no ONNX file ({reason})", "a whole file", "hqp compress MODEL")


def layer_of(node: str) -> str:
    """The layer of the PyTorch model that a node of the exported file stands for: ``layer1.0.conv1``.

    The exporter writes a node's scope as a path, ``/layer1/layer1.0/conv1/Conv``, in which a part of a container is
    named after it.
    """
    scope = node.strip("/").split("/")[:-1]
    names: list[str] = []
    for part, container in zip(scope, ["", *scope], strict=False):
        inside = bool(container) and part.startswith(f"{container}.")
        names.append(part.removeprefix(f"{container}.") if inside else part)
    return ".".join(names)


def constants(graph: GraphProto) -> dict[str, TensorProto]:
    """The stored tensor behind each name that is one, directly or through QuantizeLinear and DequantizeLinear."""
    found = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def static_shapes(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes that follow from the input's, by name; a value whose shape does not is left out."""
    import onnx

    graph = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True).graph
    shapes = {tensor.name: tuple(tensor.dims) for tensor in graph.initializer}
    for value in (*graph.input, *graph.value_info, *graph.output):
        kind = value.type.tensor_type
        if kind.HasField("shape") and all(size.HasField("dim_value") for size in kind.shape.dim):
            shapes[value.name] = tuple(size.dim_value for size in kind.shape.dim)
    return shapes


def _external_data(graph: GraphProto, folder: Path) -> Iterator[str]:
    for tensor in graph.initializer:
        places = [entry.value for entry in tensor.external_data if entry.key == "location"]
        if places and not (folder / places[0]).is_file():
            yield f"the weights of {tensor.name} are in {places[0]}, which is not beside it"


def _rules(model: ModelProto, symmetric_only: bool) -> Iterator[str]:
    graph = model.graph
    yield from _interface(graph)
    yield from _filters(model)
    yield from _scales(graph)
    yield from _stored_weights(graph)
    if symmetric_only:
        yield from _operators(graph)
        yield from _zero_points(graph)
        yield from _activation_scales(graph)
        yield from _integer_biases(graph)
        yield from _weight_axes(graph)
        yield from _unfused_sums(graph)


def validity(model: ModelProto) -> Iterator[str]:
    """What ONNX's own checker finds wrong with a model: a sentence, or nothing."""
    import onnx

    # The checker is written in C++, and its own two errors are not the only ones that come through.
    refusals = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError, RuntimeError, IndexError)
    try:
        onnx.checker.check_model(model, full_check=True)
    except refusals as error:
        yield f"it is not valid ONNX ({str(error).strip().splitlines()[0]})"


def _opset(model: ModelProto, accepted: range) -> Iterator[str]:
    versions = {entry.domain or "ai.onnx": entry.version for entry in model.opset_import}
    version = versions.pop("ai.onnx", None)
    if version not in accepted:
        yield f"its opset is {version}, not one of {accepted[0]} to {accepted[-1]}"
    foreign = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    if foreign:
        yield f"it uses operators of {min(foreign)}, which one runtime alone has"


def _tensorrt_opsets(graph: GraphProto) -> range:
    from onnx import TensorProto

    halves = {tensor.name for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT16}
    scales = {node.input[1] for node in _quantizers(graph)}
    return HALF_SCALES_OPSETS if scales & halves else TENSORRT_OPSETS


def _interface(graph: GraphProto) -> Iterator[str]:
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    for kind, values in (("inputs", inputs), ("outputs", list(graph.output))):
        if len(values) != 1:
            yield f"it has {len(values)} {kind}, not one"
        for value in values:
            shape = value.type.tensor_type.shape.dim
            if not shape or not all(size.dim_value > 0 for size in shape):
                yield f"the shape of {value.name} is not static"


def _quantizers(graph: GraphProto) -> list[NodeProto]:
    return [node for node in graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")]


def _scales(graph: GraphProto) -> Iterator[str]:
    from onnx import numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in _quantizers(graph):
        scale = stored.get(node.input[1])
        if scale is None:
            yield f"the scale of {node.name} is computed, not stored"
            continue
        values = numpy_helper.to_array(scale).ravel()
        usable = np.isfinite(values) & (values > 0)
        if not usable.all():
            yield f"a scale of {node.name} is {values[~usable][0]:g}, not a finite number above 0"
        # A scalar is the scale of all channels, whatever their number.
        tensor = stored.get(node.input[0])
        channels = tensor.dims[scale_axis(node, tensor)] if tensor and scale.dims else 0
        if channels and values.size != channels:
            yield f"{node.name} has {values.size} scales for {channels} channels"
        zero = stored.get(node.input[2]) if len(node.input) > 2 else None
        points = numpy_helper.to_array(zero).size if zero is not None else values.size
        if points != values.size:
            yield f"{node.name} has {points} zero points for {values.size} scales"


def scale_axis(node: NodeProto, tensor: TensorProto) -> int:
    """The axis of a tensor along which a QuantizeLinear or DequantizeLinear has its scales."""
    axis = next((attribute.i for attribute in node.attribute if attribute.name == "axis"), 1)
    return int(axis) % len(tensor.dims)


def _filters(model: ModelProto) -> Iterator[str]:
    """Convolutions whose filters are of another depth than what they read, which ONNX's checker does not see."""
    shapes = static_shapes(model)
    for node in model.graph.node:
        if node.op_type != "Conv":
            continue
        image, filters = shapes.get(node.input[0]), shapes.get(node.input[1])
        if image is None or filters is None:
            continue
        groups = next((attribute.i for attribute in node.attribute if attribute.name == "group"), 1)
        given, read = image[1], filters[1] * groups
        if given != read:
            yield f"the filters of {node.name} read {read} channels, and it is given {given}"


def _operators(graph: GraphProto) -> Iterator[str]:
    for node in graph.node:
        if node.op_type in INTEGER_OPERATORS:
            yield f"{node.name} is a {node.op_type}, which TensorRT does not have: it takes Q and DQ alone"


def _activation_scales(graph: GraphProto) -> Iterator[str]:
    """Activations with a scale for each channel: TensorRT's INT8 layers take one for all of their input."""
    stored, behind = {tensor.name: tensor for tensor in graph.initializer}, constants(graph)
    for node in _quantizers(graph):
        scales = list(stored[node.input[1]].dims) if node.input[1] in stored else []
        if node.input[0] not in behind and scales not in ([], [1]):
            yield f"{node.name} has {scales[0]} scales for one activation, and TensorRT takes one"


def _stored_weights(graph: GraphProto) -> Iterator[str]:
    from onnx import TensorProto

    behind = constants(graph)
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type not in WEIGHTED or not _is_dequantized(node.input[0], producers):
            continue
        weights = behind.get(node.input[1])
        if weights is not None and weights.data_type != TensorProto.INT8:
            yield f"the weights of {node.name} are not stored as INT8"


def _is_dequantized(name: str, producers: dict[str, NodeProto]) -> bool:
    return name in producers and producers[name].op_type == "DequantizeLinear"


def _zero_points(graph: GraphProto) -> Iterator[str]:
    from onnx import TensorProto, numpy_helper

    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in _quantizers(graph):
        zero = stored.get(node.input[2]) if len(node.input) > 2 else None
        if zero is None:
            yield f"{node.name} has no zero point, which TensorRT 8 demands"
            continue
        values = numpy_helper.to_array(zero)
        wrong = values[values != 0]
        if wrong.size:
            yield f"{node.name} is not symmetric: its zero point is {wrong[0]}, not 0"
        elif zero.data_type == TensorProto.UINT8:
            yield f"{node.name} is unsigned: its zero point is a UINT8, not an INT8"


def _integer_biases(graph: GraphProto) -> Iterator[str]:
    from onnx import TensorProto

    stored = {tensor.name: tensor for tensor in graph.initializer}
    for node in _quantizers(graph):
        tensor = stored.get(node.input[0])
        if tensor is not None and tensor.data_type == TensorProto.INT32:
            yield f"{node.name} reads a bias of INT32, which TensorRT refuses: it takes biases in float"


def _weight_axes(graph: GraphProto) -> Iterator[str]:
    """Weights whose scales do not go along their outputs: TensorRT refuses them, or runs the layer in float."""
    stored = {tensor.name: tensor for tensor in graph.initializer}
    producers = {name: node for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type not in WEIGHTED or not _is_dequantized(node.input[1], producers):
            continue
        reader = producers[node.input[1]]
        weight, scale = (stored.get(name) for name in reader.input[:2])
        if weight is None or scale is None or not scale.dims:
            continue
        axis, outputs = scale_axis(reader, weight), output_axis(node, len(weight.dims))
        if axis != outputs:
            yield f"the scales of {node.name}'s weights go along axis {axis}, not along its outputs, axis {outputs}"


def output_axis(node: NodeProto, dimensions: int) -> int:
    """The axis of a weighted node's weights that has a place for each of its outputs."""
    if node.op_type == "Gemm":
        transposed = any(attribute.name == "transB" and attribute.i for attribute in node.attribute)
        return 0 if transposed else 1
    return {"Conv": 0, "ConvTranspose": 1}.get(node.op_type, dimensions - 1)


def residual_sums(graph: GraphProto) -> Iterator[tuple[NodeProto, str, str]]:
    """The additions that TensorRT fuses with an INT8 convolution: the node, the convolution's result, what is added.

    Of two convolutions the one that lies deeper is fused. Both names are those before any Q and DQ.
    """
    producers = {name: node for node in graph.node for name in node.output}
    stored, depths = constants(graph), _depths(graph)
    for node in graph.node:
        if node.op_type != "Add":
            continue
        summands = [_before_quantization(name, producers) for name in node.input]
        convolutions = [name for name in summands if is_int8_convolution(producers.get(name), producers)]
        if not convolutions or summands[0] == summands[1] or stored.keys() & summands:
            continue
        fused = max(convolutions, key=depths.__getitem__)
        (other,) = {*summands} - {fused}
        yield node, fused, other


def _depths(graph: GraphProto) -> dict[str, int]:
    """How many weighted nodes lie before each value, itself included, on the longest way."""
    depths: dict[str, int] = {}
    for node in graph.node:
        before = max((depths.get(name, 0) for name in node.input), default=0)
        depths.update(dict.fromkeys(node.output, before + (node.op_type in WEIGHTED)))
    return depths


def _before_quantization(name: str, producers: dict[str, NodeProto]) -> str:
    while name in producers and producers[name].op_type in ("QuantizeLinear", "DequantizeLinear"):
        name = producers[name].input[0]
    return name


def is_int8_convolution(node: NodeProto | None, producers: dict[str, NodeProto]) -> bool:
    """Whether a node is a convolution that reads INT8 weights; ``producers`` are the nodes by what they make."""
    return node is not None and node.op_type == "Conv" and _is_dequantized(node.input[1], producers)


def _unfused_sums(graph: GraphProto) -> Iterator[str]:
    for node, convolution, other in residual_sums(graph):
        if convolution not in node.input:
            yield f"{node.name} reads {convolution} quantised, so that TensorRT runs it apart from its convolution"
        if other in node.input:
            yield f"{node.name} reads {other} in float, so that TensorRT runs it apart from its INT8 convolution"
