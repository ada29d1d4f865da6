"""The same network for several images at a time: a board's tool starts anew for each run, which takes seconds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hqp import documents, onnx_rules
from hqp.errors import HqpError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto


@dataclass(frozen=True)
class Port:
    """An input or output of a file: its name, and its shape with the batch."""

    name: str
    shape: tuple[int, ...]


def ports(onnx_file: Path) -> tuple[Port, Port]:
    """The one image and the one row of logits of a file.

    Raises:
        HqpError: the file has others, or dynamic ones.
    """
    graph = onnx_rules.read(onnx_file).graph
    image, logits = _interface(graph, onnx_file)
    return _port(image), _port(logits)


def precision_of(onnx_file: Path) -> str:
    """What a file is typed in: ``int8`` where it has quantisers, ``fp16`` where it has half weights, else ``fp32``."""
    from onnx import TensorProto

    graph = onnx_rules.read(onnx_file).graph
    if any(node.op_type == "DequantizeLinear" for node in graph.node):
        return "int8"
    halves = any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer)
    return "fp16" if halves else "fp32"


def write(onnx_file: Path, out: Path, images: int) -> None:
    """Writes a file that does for ``images`` at a time what this one does for one.

    Raises:
        HqpError: somewhere in the network one image is written as a constant, so that it takes no more.
    """
    import onnx
    from onnx import shape_inference

    model = onnx_rules.read(onnx_file)
    image, logits = _interface(model.graph, onnx_file)
    for value in (image, logits):
        value.type.tensor_type.shape.dim[0].dim_value = images
    del model.graph.value_info[:]
    _free_reshapes(model)
    try:
        inferred = shape_inference.infer_shapes(model, check_type=True, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, onnx.checker.ValidationError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise HqpError(
            f"{onnx_file} is written for one image and takes no {images}: {reason}",
            "a device with the runtime 'tensorrt', which runs one image after the other",
        ) from None
    documents.write_bytes(out, inferred.SerializeToString(deterministic=True))


def _interface(graph: GraphProto, onnx_file: Path) -> tuple[ValueInfoProto, ValueInfoProto]:
    stored = {tensor.name for tensor in graph.initializer}
    images = [value for value in graph.input if value.name not in stored]
    if len(images) != 1 or len(graph.output) != 1:
        raise HqpError(f"{onnx_file} has {len(images)} inputs and {len(graph.output)} outputs", "one of each")
    shapes = (_port(images[0]).shape, _port(graph.output[0]).shape)
    if [len(shape) for shape in shapes] != [4, 2] or not all(size > 0 for shape in shapes for size in shape):
        right = "a static image (1, channels, height, width) in, logits (1, classes) out"
        raise HqpError(f"{onnx_file} takes {shapes[0]} and gives {shapes[1]}", right, "hqp compress")
    return images[0], graph.output[0]


def _port(value: ValueInfoProto) -> Port:
    # A dynamic size has no value, which reads as 0.
    return Port(value.name, tuple(size.dim_value for size in value.type.tensor_type.shape.dim))


def _free_reshapes(model: ModelProto) -> None:
    """Has every Reshape that names one image take as many as come: 0 stands for the size that there is."""
    from onnx import numpy_helper

    shapes = {node.input[1] for node in model.graph.node if node.op_type == "Reshape"}
    constants = [tensor for tensor in model.graph.initializer if tensor.name in shapes]
    for node in model.graph.node:
        if node.op_type == "Constant" and node.output[0] in shapes:
            constants += [attribute.t for attribute in node.attribute if attribute.HasField("t")]
    for tensor in constants:
        target = numpy_helper.to_array(tensor).copy()
        if target.ndim == 1 and target.size > 1 and target[0] == 1:
            target[0] = 0
            tensor.CopyFrom(numpy_helper.from_array(target, tensor.name))
