"""Every export is written without loss and read back; a new export's file is picked up by itself."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from onnxruntime import InferenceSession

from hqp import catalog
from hqp.records import Policy
from hqp.run.exports import agreement_of

Array = npt.NDArray[np.float32]


@pytest.fixture(params=catalog.names("exports"))
def export(request: pytest.FixtureRequest) -> ModuleType:
    module = catalog.find("exports", request.param)
    if catalog.missing(module):
        pytest.skip(f"{request.param} needs {', '.join(catalog.missing(module))}")
    return module


def write(export: ModuleType, onnx_file: Path, out: Path, images: Array) -> None:
    """Writes an export, of images where it looks at some."""
    export.write(onnx_file, out, *([images] if getattr(export, "looks_at_images", False) else []))


def test_what_is_read_back_is_what_was_exported(
    export: ModuleType, quantised: Path, noise: Array, tmp_path: Path
) -> None:
    if getattr(export, "runs_on", sys.platform) != sys.platform:
        pytest.skip(f"the runtime of {export.opened} is on {export.runs_on} alone")
    write(export, quantised, tmp_path, noise)
    found = export.read_back(tmp_path / export.opened, noise)
    session = InferenceSession(quantised, providers=["CPUExecutionProvider"])
    exact = np.concatenate([session.run(None, {"input": image[None]})[0] for image in noise])
    assert found.dtype == np.float32 and found.shape == (20, 5)
    agreement, cosine = agreement_of(exact, found)
    assert agreement == 1.0 and cosine > 0.999


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The INT8 file of one convolution and 345,600 weights behind it."""
    import torch
    from torch import nn

    from hqp.compress.exporting.export import export
    from hqp.compress.quantisation import calibrate, thresholds
    from hqp.compress.quantisation.qdq import quantize

    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 12 * 12, 300)).eval()
    folder, policy = tmp_path_factory.mktemp("wide"), Policy()
    noise = np.random.default_rng(3).standard_normal((4, 3, 12, 12), np.float32)
    export(network, 12, folder / "fp32.onnx")
    seen = calibrate.distributions(folder / "fp32.onnx", lambda: [noise], policy)
    quantize(folder / "fp32.onnx", folder / "int8.onnx", thresholds.ranges(seen, "minmax", policy), policy)
    return folder / "int8.onnx"


def test_int8_stays_int8(export: ModuleType, wide: Path, tmp_path: Path) -> None:
    write(export, wide, tmp_path, np.zeros((1, 3, 12, 12), np.float32))
    size = sum(file.stat().st_size for file in tmp_path.rglob("*") if file.is_file() and file.suffix != ".xml")
    # A byte a weight, and structure, of which torch.export writes 40 kB.
    assert 345_600 < size < 345_600 + 60_000


def test_openvino_weights_are_not_halved(quantised: Path, noise: Array, tmp_path: Path) -> None:
    openvino = catalog.require("exports", "openvino")
    openvino.write(quantised.parent / "fp32.onnx", tmp_path)
    session = InferenceSession(quantised.parent / "fp32.onnx", providers=["CPUExecutionProvider"])
    exact = session.run(None, {"input": noise[:1]})[0]
    assert np.abs(openvino.read_back(tmp_path / "model.xml", noise[:1]) - exact).max() < 1e-5
