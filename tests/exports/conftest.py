"""An INT8 network whose classes are told apart, as ONNX."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from hqp.compress.exporting.export import export
from hqp.compress.quantisation import calibrate
from hqp.compress.quantisation.qdq import quantize
from hqp.records import Policy

SIZE = 12
POLICY = Policy(float_results=True)


@pytest.fixture(scope="session")
def images() -> npt.NDArray[np.float32]:
    return np.random.default_rng(3).standard_normal((20, 3, SIZE, SIZE), np.float32)


@pytest.fixture(scope="session")
def quantised(tmp_path_factory: pytest.TempPathFactory, images: npt.NDArray[np.float32]) -> Path:
    """The INT8 file of a small network."""
    torch.manual_seed(1)
    body = (nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ReLU())
    network = nn.Sequential(*body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5)).eval()
    folder = tmp_path_factory.mktemp("quantised")
    export(network, SIZE, folder / "fp32.onnx")
    seen = calibrate.distributions(folder / "fp32.onnx", lambda: [images], POLICY)
    quantize(folder / "fp32.onnx", folder / "int8.onnx", calibrate.ranges(seen, "minmax", POLICY), POLICY)
    return folder / "int8.onnx"
