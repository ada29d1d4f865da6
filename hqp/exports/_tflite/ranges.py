"""What an ONNX file computes without giving it a scale, as seen on images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import ModelProto

from hqp import typings

Ranges = dict[str, tuple[float, float]]


def seen(model: ModelProto, images: npt.NDArray[np.float32]) -> Ranges:
    """The lowest and the highest number of each result that has no scale; nothing where the whole file is float.

    ``images`` are normalised, (n, channels, height, width).
    """
    from onnxruntime import InferenceSession

    nodes = [node for node in model.graph.node if node.op_type not in typings.QUANTIZERS]
    scaled = {node.input[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    names = [name for node in nodes for name in node.output if name not in scaled]
    if not scaled:
        return {}
    watched = ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = InferenceSession(watched.SerializeToString(), providers=["CPUExecutionProvider"])
    found: Ranges = dict.fromkeys(names, (np.inf, -np.inf))
    for image in images:
        results = session.run(None, {model.graph.input[0].name: image[None]})
        for name, values in zip(names, results, strict=True):
            low, high = found[name]
            found[name] = min(low, float(values.min())), max(high, float(values.max()))
    return found
