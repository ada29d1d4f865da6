"""What other tools make of an FP32 file: INT8 by the quantisers of onnxruntime and of nncf, each as its pages say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from hqp.compress.exporting.export import INPUT

Array = npt.NDArray[np.float32]
# Writes what a tool makes of an FP32 file, calibrated on these images, (n, 3, size, size), into a file.
Peer = Callable[[Path, Array, Path], None]


def onnxruntime_static(plain: Path, images: Array, out: Path) -> None:
    """``quantize_static`` of onnxruntime: QDQ, weights INT8 per channel, activations UINT8 by their extremes."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = _feeds(images)

        def get_next(self) -> Any:
            return next(self._images, None)

    quantize_static(
        plain,
        out,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )


def nncf_default(plain: Path, images: Array, out: Path) -> None:
    """``nncf.quantize`` of the ONNX file with its defaults, which correct biases."""
    import nncf

    dataset = nncf.Dataset(list(_feeds(images)))
    onnx.save(nncf.quantize(onnx.load(plain), dataset, subset_size=len(images)), out)


def _feeds(images: Array) -> Iterator[dict[str, Array]]:
    return ({INPUT: image[None]} for image in images)


PEERS: dict[str, Peer] = {
    "onnxruntime quantize_static": onnxruntime_static,
    "nncf quantize": nncf_default,
}
