"""From a torch module to an ONNX file of static shape, the same bytes for the same weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import torch
from onnx import ModelProto, TensorProto, helper, numpy_helper
from torch import Tensor, nn

from hqp import documents, onnx_rules
from hqp.compress.exporting import fold, routes
from hqp.compress.network import branches
from hqp.compress.network.copies import copied
from hqp.compress.network.evaluation_mode import evaluating
from hqp.errors import HqpError

NetworkInputs = npt.NDArray[np.float32]

INPUT = "input"
OUTPUT = "logits"

# The newest that TensorRT 8.5, OpenVINO and onnxruntime all read, and the newest of torch's TorchScript route.
OPSET = 17

# The largest difference between the network and the file, as a share of the largest logit, that float32 arithmetic
# makes; a wrong trace is off by orders of magnitude more.
TOLERANCE = 1e-3

TRACEABLE = "a module that maps one image to logits, without branches on its data"

# What torch raises on a module that it cannot trace, and what the module's own code raises when it is fed a tracer.
_UNTRACEABLE = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)

# What is right where torch has no way to write an operation, or writes one that is not of the opset.
OPERATORS = f"operators that ONNX has in opset {OPSET}, in float32"

# An ONNX file is one protobuf message.
MOST_BYTES = 2**31


def export(model: nn.Module, input_size: int, path: Path, images: NetworkInputs | None = None) -> None:
    """Writes ``model`` in evaluation mode as ONNX: ``input`` (1, 3, input_size, input_size) to ``logits`` (1, classes).

    Batch-norm is folded into the convolution before it; each weight is named after its node. The file holds no time,
    path or stack trace. The model is not changed. On each of ``images``, (n, 3, input_size, input_size) and normalised,
    by default one of noise, the file is compared with the model.

    Raises:
        HqpError: the model's weights are more than a file holds, it cannot be traced, its code branches on the image, a
            shape in it depends on the image, or what was traced is not the model.
    """
    _require_room(model)
    seen = _noise(input_size) if images is None else images
    traced = _trace(model, torch.from_numpy(seen[:1]))
    while fold.fold(traced.graph, OPSET, _shapes(traced, input_size)):
        pass
    _require_dependence(traced)
    content = traced.SerializeToString(deterministic=True)
    _require_valid(content)
    _require_static(traced)
    _verify(model, content, seen)
    documents.write_bytes(path, content)


def _noise(input_size: int) -> NetworkInputs:
    return np.random.default_rng(0).standard_normal((1, 3, input_size, input_size), dtype=np.float32)


def _require_room(model: nn.Module) -> None:
    size = sum(values.numel() * values.element_size() for values in model.state_dict().values())
    if size >= MOST_BYTES:
        raise HqpError(
            f"the model's weights take {size / 1e9:.2f} GB, and an ONNX file holds {MOST_BYTES / 1e9:.2f} GB",
            "a smaller network",
        )


def _trace(model: nn.Module, example: Tensor) -> ModelProto:
    """The graph that torch's exporter writes of the model; of the example it takes the shape."""
    example = example.to(_device(model))
    try:
        looks = branches.on_image(model, example)
        traced = routes.traced(model, torch.zeros_like(example), OPSET, INPUT, OUTPUT)
    except torch.onnx.OnnxExporterError as error:
        reason = str(error).partition(". Please feel free")[0]  # to change torch
        raise _untraceable(reason, OPERATORS) from None
    except _UNTRACEABLE as error:
        raise _untraceable(str(error).strip() or type(error).__name__) from None
    if looks:
        more = f", and {len(looks) - 1} more" if len(looks) > 1 else ""
        raise _untraceable(f"its Python code looks at the values of the image at {looks[0]}{more}")
    if len(traced.graph.output) != 1:
        raise _untraceable(f"it has {len(traced.graph.output)} outputs")
    return traced


def _untraceable(reason: str, right: str = TRACEABLE) -> HqpError:
    return HqpError(f"the model cannot be exported: {reason.splitlines()[0]}", right)


def _require_valid(content: bytes) -> None:
    """Refuses what torch writes though no runtime has it, such as a convolution in bfloat16."""
    try:
        onnx.checker.check_model(content, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _untraceable(str(error), OPERATORS) from None


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
    values = _runner(asked.SerializeToString())(_noise(input_size), names)
    return {name: numpy_helper.from_array(value, name) for name, value in zip(names, values, strict=True)}


def _require_dependence(traced: ModelProto) -> None:
    """Refuses logits that no node computes once constants are folded."""
    if not any(OUTPUT in node.output for node in traced.graph.node):
        raise _untraceable("its logits are the same for every image")


def _require_static(model: ModelProto) -> None:
    """Refuses a shape that depends on the image: no runtime can plan for it, and its multiply-adds have no number."""
    known = onnx_rules.static_shapes(model)
    for node in model.graph.node:
        if not known.keys() >= set(filter(None, node.output)):
            raise _untraceable(f"the shape of what {node.name} gives depends on the image")


def _verify(model: nn.Module, content: bytes, images: NetworkInputs) -> None:
    """Compares the file with the model, image by image.

    Where they differ, float64 says by how much each is off: an EfficientNetV2 with random weights makes of float32's
    rounding 10% of its logits in torch and 0.4% in the file, and the trace is right.
    """
    run = _runner(content)
    for image in np.split(images, len(images)):
        (got,) = run(image, [OUTPUT])
        single = _logits(model, image)
        if np.abs(got - single).max() <= TOLERANCE * np.abs(single).max():
            continue
        exact = _logits(copied(model).double(), image.astype(np.float64))
        torch_is_off_by = np.abs(single - exact).max()
        limit = np.maximum(TOLERANCE * np.abs(exact).max(), 2 * torch_is_off_by)
        # Not "greater than": NaN is neither within the limit nor above it.
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


def _runner(content: bytes) -> Callable[[NetworkInputs, Sequence[str]], list[npt.NDArray[Any]]]:
    """What gives the values of these names for an image, in onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    return lambda image, names: session.run(list(names), {INPUT: image})
