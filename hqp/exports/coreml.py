"""Core ML, ``model.mlpackage``, an ML program for iOS 17 and macOS 14 or later; INT8 stays INT8 in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from hqp.foreign import silence

requires = ("coremltools", "torch", "onnx")
opened = "model.mlpackage"
# It is written on Linux, too, and then compared with nothing.
runs_on = "darwin"

INPUT = "image"


def write(onnx_file: Path, out: Path) -> None:
    """Converts the network of the file, with the weights that it has; what is not INT8 stays float32."""
    import torch

    from hqp.exports import _torch

    network, example = _torch.network(onnx_file, _torch.pt2e()), _torch.example(onnx_file)
    with silence():
        import coremltools

        program = torch.export.export(network, (example,)).run_decompositions({})
        converted = coremltools.convert(
            program,
            inputs=[coremltools.TensorType(name=INPUT, shape=tuple(example.shape))],
            # The first that has Q and DQ.
            minimum_deployment_target=coremltools.target.iOS17,
            # Its default halves the precision.
            compute_precision=coremltools.precision.FLOAT32,
        )
        converted.save(out / opened)


def read_back(file: Path, images: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """The logits in Core ML, which macOS alone has, image by image."""
    with silence():
        import coremltools

        loaded = coremltools.models.MLModel(str(file))
    rows = [next(iter(loaded.predict({INPUT: image[None]}).values())) for image in images]
    return np.concatenate(rows).astype(np.float32)
