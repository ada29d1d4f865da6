"""``quantize_static`` of onnxruntime: QDQ, weights INT8 per channel, activations UINT8 by their extremes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hqp.compress.studies.peers._given import Given

name = "onnxruntime quantize_static"
requires = ("onnxruntime",)


def make(given: Given, out: Path) -> None:
    """Writes the INT8 file, as the tool's pages make it."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Reader(CalibrationDataReader):
        def __init__(self) -> None:
            self._images = given.feeds()

        def get_next(self) -> Any:
            return next(self._images, None)

    quantize_static(
        given.plain,
        out,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        weight_type=QuantType.QInt8,
        activation_type=QuantType.QUInt8,
    )
