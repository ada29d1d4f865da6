"""ONNX, the artefact's own format, which every other export is made from."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import numpy.typing as npt

requires = ("onnxruntime",)
opened = "model.onnx"


def write(onnx_file: Path, out: Path) -> None:
    """Copies the file."""
    shutil.copyfile(onnx_file, out / opened)


def read_back(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The logits in ONNX Runtime, image by image."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])
