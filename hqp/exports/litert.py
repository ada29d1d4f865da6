"""LiteRT (TensorFlow Lite), ``model.tflite``: INT8 from the image to the logits, as an Edge TPU's compiler wants it.

The image is taken as height, width, channels. What the artefact's policy leaves in float stays float32.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hqp.foreign import silence

requires = ("ai_edge_litert", "onnxruntime", "onnx")
opened = "model.tflite"
# Results without a scale, the logits among them, get one here.
looks_at_images = True


def write(onnx_file: Path, out: Path, images: npt.NDArray[np.float32]) -> None:
    """Writes the network of the file, with its weights and scales; what it gives no scale gets one by ``images``."""
    from hqp.exports._tflite import network

    (out / opened).write_bytes(network.translated(onnx_file, images))


def read_back(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The logits in LiteRT on the CPU, image by image, by its own kernels: a delegate would round otherwise."""
    with silence():
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        interpreter = Interpreter(str(file), experimental_op_resolver_type=plain)
        interpreter.allocate_tensors()
    (given,), (gives,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for image in images:
        interpreter.set_tensor(given["index"], _stored(image.transpose(1, 2, 0)[None], given))
        interpreter.invoke()
        rows.append(_read(interpreter.get_tensor(gives["index"]), gives))
    return np.concatenate(rows)


def _stored(values: npt.NDArray[np.float32], tensor: dict[str, Any]) -> npt.NDArray[Any]:
    """Values as a tensor of the file holds them: INT8 where it has a scale."""
    if tensor["dtype"] == np.float32:
        return values
    scale, zero_point = tensor["quantization"]
    bounds = np.iinfo(tensor["dtype"])
    return np.clip(np.round(values / scale) + zero_point, bounds.min, bounds.max).astype(tensor["dtype"])


def _read(stored: npt.NDArray[Any], tensor: dict[str, Any]) -> npt.NDArray[np.float32]:
    if tensor["dtype"] == np.float32:
        return stored
    scale, zero_point = tensor["quantization"]
    return ((stored.astype(np.float32) - zero_point) * scale).astype(np.float32)
