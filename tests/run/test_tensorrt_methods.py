"""Artefacts of every method are files that NVIDIA's parser takes, and one that it refuses is not made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hqp import catalog, onnx_rules
from hqp.run.doctor import doctor
from hqp.runtimes._tensorrt import nvidia

pytestmark = pytest.mark.skipif(not nvidia.installed(), reason="needs TensorRT for RTX: nox -s tensorrt-contract")

DEVICE = "jetson_xavier_nx"
COMPRESS = ("-m", "hqp", "compress", "--dataset", "squares", "--device", DEVICE, "--delta-max", "3")

REFUSED = """
import torch
from torch import nn

class Volume(nn.Module):
    def forward(self, features):
        return features * torch.linalg.det(features.reshape(-1, 4, 4)).reshape(-1, 1)

def build(num_classes):
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, Volume(), nn.Linear(16, num_classes))
"""

SAVE = "import torch; from refused import build; torch.save(build(4).state_dict(), 'refused.pt')"


@pytest.fixture(scope="module")
def artefacts(project: Path, run: Any) -> dict[str, Path]:
    precisions = catalog.find("devices", DEVICE).device.precisions
    asked = {method: catalog.load("methods", method).recipe.asks_for for method in catalog.names("methods")}
    made = {method: project / "out" / f"tensorrt-{method}" for method in asked if asked[method] in precisions}
    for method, out in made.items():
        done = run(*COMPRESS, "squarenet", "--method", method, "--out", str(out))
        assert done.returncode == 0, done.stderr
    return made


def test_artefacts_of_every_method_parse_and_build(artefacts: dict[str, Path]) -> None:
    assert {"fp32", "fp16", "q8", "pruned", "hqp"} <= artefacts.keys()
    files = [folder / "model.onnx" for folder in artefacts.values()]
    for file in files:
        assert onnx_rules.lint(file, symmetric_only=True) == ()
    for method, answer in zip(artefacts, nvidia.ask(files, ["86"]), strict=True):
        assert (answer.refusals, answer.unbuilt) == ((), {}), method


def test_a_network_that_nvidia_refuses_is_told_with_its_node_before_minutes_are_spent(
    project: Path, run: Any, tmp_path: Path
) -> None:
    (project / "refused.py").write_text(REFUSED)
    assert run("-c", SAVE).returncode == 0
    words = ("refused.py:build", "--weights", "refused.pt", "--input-size", "16", "--method", "fp32")
    done = run(*COMPRESS, *words, "--out", str(tmp_path / "out"))
    assert done.returncode == 2
    assert "NVIDIA's parser refuses" in done.stderr and "Det" in done.stderr
    assert not (tmp_path / "out").exists()


def test_doctor_asks_the_parser() -> None:
    (finding,) = (finding for finding in doctor() if finding.kind == "parser")
    assert (finding.usable, finding.state) == (True, "asked about each file that is made for TensorRT")
