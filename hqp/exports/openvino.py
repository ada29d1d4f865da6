"""OpenVINO IR, ``model.xml`` with its weights in ``model.bin``, which needs no ONNX front end where it is deployed."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from hqp import typings
from hqp.foreign import without_telemetry

requires = ("openvino",)
opened = "model.xml"


def write(onnx_file: Path, out: Path) -> None:
    """Converts the file as it is: no weight is rounded, and what is INT8 stays INT8."""
    openvino = _package()
    # Its default halves the weights' precision.
    openvino.save_model(_read(onnx_file), out / opened, compress_to_fp16=False)


def read_back(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The logits in OpenVINO on the CPU, in float32 where the file says neither INT8 nor BF16, image by image."""
    openvino = _package()
    model = _read(file)
    hint = typings.OPENVINO_HINTS[typings.computed_in_openvino(model)]
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": hint})
    return np.concatenate([compiled(image[None])[0] for image in images])


def _read(file: Path) -> Any:
    return _package().Core().read_model(str(file))


def _package() -> ModuleType:
    return without_telemetry("openvino", sender="openvino_telemetry")
