"""What other tools make of a file is an INT8 file that onnxruntime runs, near to FP32."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto
from torch import nn

from hqp.compress.exporting import export
from hqp.compress.studies.peers import PEERS

SIZE = 8


@pytest.mark.parametrize("name", PEERS)
def test_each_writes_int8_weights_that_give_what_fp32_gives(name: str, tmp_path: Path) -> None:
    if name.startswith("nncf"):
        pytest.importorskip("nncf", reason="nncf is installed by `nox -s perf -- peers` alone")
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(64, 3)).eval()
    plain, out = tmp_path / "plain.onnx", tmp_path / "out.onnx"
    export.export(model, SIZE, plain)
    images = np.random.default_rng(0).standard_normal((12, 3, SIZE, SIZE), dtype=np.float32)
    PEERS[name](plain, images, out)
    weights = [tensor for tensor in onnx.load(out).graph.initializer if len(tensor.dims) > 1]
    assert {tensor.data_type for tensor in weights} == {TensorProto.INT8}
    exact, found = (
        np.concatenate([session.run(None, {"input": image[None]})[0] for image in images])
        for session in map(onnxruntime.InferenceSession, (plain, out))
    )
    assert np.abs(found - exact).max() < 0.05 * np.ptp(exact)
