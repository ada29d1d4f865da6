"""From a torch module to an ONNX file of static shape, the same bytes for the same weights."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from hqp import documents, onnx_rules
from hqp.compress.copies import copied
from hqp.compress.modes import evaluating
from hqp.errors import HqpError
from hqp.onnx_rules import WEIGHTED

INPUT = "input"
OUTPUT = "logits"

# The newest that TensorRT 8.5, OpenVINO and onnxruntime all read, and the newest of torch's TorchScript route. The
# dynamo route starts at 18, takes six times as long and writes a global pooling as ReduceMean, which no runtime has in
# INT8.
OPSET = 17

# The largest difference between the network and the file, as a share of the largest logit, that float32 arithmetic
# makes; a wrong trace is off by orders of magnitude more.
TOLERANCE = 1e-3

# What the second and third input of a weighted node is called; others go by their number.
PLACES = {1: "weight", 2: "bias"}

# What torch raises on a module that it cannot trace, and what the module's own code raises when it is fed a tracer.
_UNTRACEABLE = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)

# An ONNX file is one protobuf message.
MOST_BYTES = 2**31


def export(model: nn.Module, input_size: int, path: Path) -> None:
    """Writes ``model`` in evaluation mode as ONNX: ``input`` (1, 3, input_size, input_size) to ``logits`` (1, classes).

    Batch-norm is folded into the convolution before it; each weight is named after its node. The file holds no time,
    path or stack trace. The model is not changed.

    Raises:
        HqpError: the model's weights are more than a file holds, it cannot be traced, a shape in it depends on the
            image, or what was traced is not the model.
    """
    _require_room(model)
    traced = _trace(model, torch.zeros(1, 3, input_size, input_size))
    _name_weights(traced.graph, _shapes(traced, input_size))
    _require_dependence(traced)
    content = traced.SerializeToString(deterministic=True)
    onnx.checker.check_model(content, full_check=True)
    _require_static(traced)
    _verify(model, content, input_size)
    documents.write_bytes(path, content)


def _require_room(model: nn.Module) -> None:
    size = sum(values.numel() * values.element_size() for values in model.state_dict().values())
    if size >= MOST_BYTES:
        raise HqpError(
            f"the model's weights take {size / 1e9:.2f} GB, and an ONNX file holds {MOST_BYTES / 1e9:.2f} GB",
            "a smaller network",
        )


def _trace(model: nn.Module, example: Tensor) -> ModelProto:
    file = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # The route's deprecation is known (see OPSET); what tracing may get wrong, _verify finds.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                model,
                (example.to(_device(model)),),
                file,
                dynamo=False,
                opset_version=OPSET,
                input_names=[INPUT],
                output_names=[OUTPUT],
            )
    except _UNTRACEABLE as error:
        raise _untraceable(str(error).strip() or type(error).__name__) from None
    traced = onnx.load_from_string(file.getvalue())
    if len(traced.graph.output) != 1:
        raise _untraceable(f"it has {len(traced.graph.output)} outputs")
    return traced


def _untraceable(reason: str) -> HqpError:
    first = reason.splitlines()[0]
    return HqpError(
        f"the model cannot be exported: {first}", "a module that maps one image to logits, without branches on its data"
    )


def _device(model: nn.Module) -> torch.device:
    return next((parameter.device for parameter in model.parameters()), torch.device("cpu"))


def _shapes(traced: ModelProto, input_size: int) -> dict[str, TensorProto]:
    """What each Shape node gives, by the name of its output: constant, since the input's shape is."""
    names = [node.output[0] for node in traced.graph.node if node.op_type == "Shape"]
    if not names:
        return {}
    asked = ModelProto()
    asked.CopyFrom(traced)
    asked.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.INT64, [None]) for name in names)
    values = _run(asked.SerializeToString(), np.zeros((1, 3, input_size, input_size), np.float32), names)
    return {name: numpy_helper.from_array(value, name) for name, value in zip(names, values, strict=True)}


def _name_weights(graph: GraphProto, shapes: dict[str, TensorProto]) -> None:
    """Gives each node its own constants, named after it.

    Torch merges weights of equal value, reads the copies through Identity nodes, keeps scalars in Constant nodes, and
    leaves the arithmetic that makes a padding's widths or a chunk's ends. A quantiser needs the weights apart, since
    each has its own scale, and must see what is constant; a runtime's shapes are static only where these are numbers.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer} | shapes
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = node.attribute[0].t
        elif node.op_type == "Identity" and node.input[0] in constants:
            constants[node.output[0]] = constants[node.input[0]]
        elif node.input and all(not name or name in constants for name in node.input):
            constants |= _computed(node, constants)
    nodes = [node for node in graph.node if node.output[0] not in constants]
    owned = [tensor for node in nodes for tensor in _own(node, constants)]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(nodes)
    graph.initializer.extend(owned)


def _computed(node: NodeProto, constants: dict[str, TensorProto]) -> dict[str, TensorProto]:
    """What a node gives whose every input is constant."""
    given = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
    values = ReferenceEvaluator(node, opsets={"": OPSET}).run(None, given)
    return {
        name: numpy_helper.from_array(np.asarray(value), name) for name, value in zip(node.output, values, strict=True)
    }


def _own(node: NodeProto, constants: dict[str, TensorProto]) -> list[TensorProto]:
    owned = []
    for place, name in enumerate(node.input):
        if name in constants:
            tensor = TensorProto()
            tensor.CopyFrom(constants[name])
            kind = PLACES.get(place, place) if node.op_type in WEIGHTED else place
            tensor.name = f"{node.name}.{kind}"
            node.input[place] = tensor.name
            owned.append(tensor)
    return owned


def _require_dependence(traced: ModelProto) -> None:
    """Refuses logits that no node computes once constants are folded: for torch they are the same for every image."""
    if not any(OUTPUT in node.output for node in traced.graph.node):
        raise _untraceable("its logits come from the image through numpy or Python's numbers, not by torch alone")


def _require_static(model: ModelProto) -> None:
    """Refuses a shape that depends on the image: no runtime can plan for it, and its multiply-adds have no number."""
    known = onnx_rules.static_shapes(model)
    for node in model.graph.node:
        if not known.keys() >= set(filter(None, node.output)):
            raise _untraceable(f"the shape of what {node.name} gives depends on the image")


def _verify(model: nn.Module, content: bytes, input_size: int) -> None:
    """Compares the file with torch, on an image that tracing did not see.

    Where they differ, float64 says by how much each is off: an EfficientNetV2 with random weights makes of float32's
    rounding 10% of its logits in torch and 0.4% in the file, and the trace is right.
    """
    image = np.random.default_rng(0).standard_normal((1, 3, input_size, input_size), dtype=np.float32)
    (got,) = _run(content, image, [OUTPUT])
    single = _logits(model, image)
    if np.abs(got - single).max() <= TOLERANCE * np.abs(single).max():
        return
    exact = _logits(copied(model).double(), image.astype(np.float64))
    limit = np.maximum(TOLERANCE * np.abs(exact).max(), 2 * np.abs(single - exact).max())
    if not np.abs(got - exact).max() <= limit:
        raise _untraceable("the traced graph gives other logits, or NaN")


def _logits(model: nn.Module, image: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """What the module gives for an image of its arithmetic; NaN where a tensor that it makes by itself has another."""
    try:
        with torch.inference_mode(), evaluating(model):
            logits: npt.NDArray[Any] = model(torch.from_numpy(image).to(_device(model))).cpu().numpy()
    except RuntimeError:
        return np.full(1, np.nan)
    return logits


def _run(content: bytes, image: npt.NDArray[np.float32], outputs: list[str]) -> list[npt.NDArray[Any]]:
    import onnxruntime

    values: list[npt.NDArray[Any]] = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"]).run(
        outputs, {INPUT: image}
    )
    return values
