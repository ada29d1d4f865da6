"""The zoo counts what it sees: a pass, a miss with its reason, and no more than was asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hqp.run.studies import zoo

HELD = """
import torch
from torch import nn

class Held(nn.Sequential):
    def forward(self, x):
        return self[1](self[0](x).cumsum(1).mean((2, 3)))

def build(num_classes):
    return Held(nn.Conv2d(3, 8, 3), nn.Linear(8, num_classes))

input_size = 16
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.set_num_threads(1)
    Path("held.py").write_text(HELD)


def test_a_network_that_goes_through_passes_and_one_that_does_not_says_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert zoo.main(["torchvision:squeezenet1_1", "held.py:build"]) == 1
    said = capsys.readouterr().out.splitlines()
    assert said[2].split()[0] == "torchvision:squeezenet1_1" and said[2].endswith("passed")
    assert said[3].split()[0] == "held.py:build" and said[3].endswith("0 of 8 filters could go")
    assert said[4] == "1 of 2 passed"


def test_what_was_tried_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert zoo.main(["torchvision:squeezenet1_1"]) == 0
    monkeypatch.setattr("hqp.compress.studies.trial.trial", lambda *asked: pytest.fail("tried again"))
    assert zoo.main(["torchvision:squeezenet1_1"]) == 0


def test_the_list_holds_forty_or_more_of_timm_and_two_transformers() -> None:
    names = zoo.known()
    assert "torchvision:resnet18" in names and "torchvision:swin_t" not in names
    assert len(zoo.TIMM) >= 40
