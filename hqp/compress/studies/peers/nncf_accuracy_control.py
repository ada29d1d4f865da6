"""``nncf.quantize_with_accuracy_control``: INT8, and back in float what it takes to hold the bound."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnx

from hqp.compress.studies.peers._given import Given

name = "nncf quantize_with_accuracy_control"
requires = ("nncf",)


def make(given: Given, out: Path) -> None:
    """Writes the file in which no more layers are float than the bound asks for."""
    import nncf

    def top1(model: Any, _: Iterable[Any]) -> tuple[float, None]:
        # Judged as every other file is, on all images at once; those that nncf hands over only rank its layers.
        onnx.save(model, out)
        return given.top1(out) / 100, None

    dataset = nncf.Dataset(list(given.feeds()))
    made = nncf.quantize_with_accuracy_control(
        onnx.load(given.plain),
        dataset,
        dataset,
        top1,
        max_drop=given.delta_max_pp / 100,
        subset_size=len(given.images),
    )
    onnx.save(made, out)
