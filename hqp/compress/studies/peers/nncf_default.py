"""``nncf.quantize`` of the ONNX file with its defaults, which correct biases."""

from __future__ import annotations

from pathlib import Path

import onnx

from hqp.compress.studies.peers._given import Given

name = "nncf quantize"
requires = ("nncf",)


def make(given: Given, out: Path) -> None:
    """Writes the INT8 file."""
    quantise(given, given.plain, out)


def quantise(given: Given, file: Path, out: Path, *, fast_bias_correction: bool = True) -> None:
    """Writes what the tool makes of an FP32 file, calibrated on the given images."""
    import nncf

    dataset = nncf.Dataset(list(given.feeds()))
    count = len(given.images)
    model = nncf.quantize(onnx.load(file), dataset, subset_size=count, fast_bias_correction=fast_bias_correction)
    onnx.save(model, out)
