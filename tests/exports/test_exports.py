"""Every export is written without loss and read back; a new export's file is picked up by itself."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from onnxruntime import InferenceSession

from hqp import catalog
from hqp.run.exports import agreement_of

Array = npt.NDArray[np.float32]


@pytest.fixture(params=catalog.names("exports"))
def export(request: pytest.FixtureRequest) -> ModuleType:
    module = catalog.find("exports", request.param)
    if catalog.missing(module):
        pytest.skip(f"{request.param} needs {', '.join(catalog.missing(module))}")
    return module


def test_what_is_read_back_is_what_was_exported(
    export: ModuleType, quantised: Path, noise: Array, tmp_path: Path
) -> None:
    export.write(quantised, tmp_path)
    found = export.read_back(tmp_path / export.opened, noise)
    session = InferenceSession(quantised, providers=["CPUExecutionProvider"])
    exact = np.concatenate([session.run(None, {"input": image[None]})[0] for image in noise])
    assert found.dtype == np.float32 and found.shape == (20, 5)
    agreement, cosine = agreement_of(exact, found)
    assert agreement == 1.0 and cosine > 0.999


def test_int8_stays_int8_and_float_stays_float32(export: ModuleType, quantised: Path, tmp_path: Path) -> None:
    export.write(quantised, tmp_path)
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.suffix != ".xml")
    # 656 weights of one byte, and scales, ranges and structure.
    assert size < quantised.stat().st_size + 1000


def test_openvino_weights_are_not_halved(quantised: Path, noise: Array, tmp_path: Path) -> None:
    openvino = catalog.require("exports", "openvino")
    openvino.write(quantised.parent / "fp32.onnx", tmp_path)
    session = InferenceSession(quantised.parent / "fp32.onnx", providers=["CPUExecutionProvider"])
    exact = session.run(None, {"input": noise[:1]})[0]
    assert np.abs(openvino.read_back(tmp_path / "model.xml", noise[:1]) - exact).max() < 1e-5
