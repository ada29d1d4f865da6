"""What the sidecar says of an ONNX file is what the file holds."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from torch import nn

from hqp.compress.exporting import export
from hqp.run.sidecar import model_file


def test_a_file_is_told_by_its_digest_its_bytes_and_its_counts(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.append(nn.Linear(4, 2))
    path = tmp_path / "model.onnx"
    export.export(model.eval(), 8, path)
    made = model_file(path)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert made.size_bytes == path.stat().st_size
    assert made.parameters == (4 * 27 + 4) + (2 * 4 + 2)
    assert made.macs == 8 * 8 * 4 * 27 + 2 * 4
