"""TorchScript, ``model.pt``, which libtorch loads without Python; its Q and DQ are plain arithmetic on INT8 weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hqp.foreign import silence

requires = ("torch", "onnx")
opened = "model.pt"


def write(onnx_file: Path, out: Path) -> None:
    """Traces the network of the file, with the weights that it has."""
    import torch

    from hqp.exports import _torch

    network, image = _torch.network(onnx_file), _torch.example(onnx_file)
    # It is deprecated, and every shape is a constant here, of which the tracer warns.
    with silence():
        torch.jit.save(torch.jit.trace(network, image), out / opened)


def read_back(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The logits in TorchScript on the CPU, image by image."""
    import torch

    from hqp.exports import _torch

    with silence():
        loaded = torch.jit.load(file)
    return _torch.logits(loaded, images)
