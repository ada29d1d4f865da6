"""``torch.export``'s program, ``model.pt2``, which PyTorch, AOTInductor and ExecuTorch take; INT8 stays INT8 in it.

Q and DQ are the operators of PyTorch's own quantisation, which ``import torch.ao.quantization.fx._decomposed``
registers before the file is loaded.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hqp.foreign import silence

requires = ("torch", "onnx")
opened = "model.pt2"


def write(onnx_file: Path, out: Path) -> None:
    """Exports the network of the file, with the weights that it has."""
    import torch

    from hqp.exports import _torch

    network = _torch.network(onnx_file, _torch.pt2e())
    with silence():
        torch.export.save(torch.export.export(network, (_torch.example(onnx_file),)), out / opened)


def read_back(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The logits in PyTorch on the CPU, image by image."""
    import torch

    from hqp.exports import _torch

    _torch.pt2e()
    with silence():
        loaded = torch.export.load(file).module()
    return _torch.logits(loaded, images)
