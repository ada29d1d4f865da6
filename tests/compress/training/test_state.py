"""What a training goes on from is its own state, whole, or it starts anew."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hqp.compress.training import state

TRAINING = "a" * 64


def trained(seed: int) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    return model, optimizer


def test_model_and_optimizer_are_as_they_were(tmp_path: Path) -> None:
    file, said = tmp_path / "state.pt", list[str]()
    model, optimizer = trained(0)
    state.save(file, TRAINING, 3, 12.5, model, optimizer)
    other, others = trained(1)
    assert state.restore(file, TRAINING, other, others, said.append) == (3, 12.5)
    assert torch.equal(other.weight, model.weight) and said == []
    assert torch.equal(*(one.state_dict()["state"][0]["momentum_buffer"] for one in (others, optimizer)))


def test_without_a_file_none_is_done(tmp_path: Path) -> None:
    said: list[str] = []
    assert state.restore(tmp_path / "none.pt", TRAINING, *trained(0), said.append) == (0, 0.0)
    assert said == []


@pytest.mark.parametrize("change", ["damaged", "training", "model"])
def test_what_is_damaged_or_of_another_training_is_told_and_left_alone(tmp_path: Path, change: str) -> None:
    file, said = tmp_path / "state.pt", list[str]()
    state.save(file, TRAINING, 3, 12.5, *trained(0))
    if change == "damaged":
        file.write_bytes(file.read_bytes()[:-1])
    model, optimizer = trained(1)
    if change == "model":
        model = nn.Linear(3, 5)
    before = model.weight.detach().clone()
    name = "b" * 64 if change == "training" else TRAINING
    assert state.restore(file, name, model, optimizer, said.append) == (0, 0.0)
    assert torch.equal(model.weight, before)
    reason = "is damaged; the training starts" if change == "damaged" else "is the state of another training; this one"
    assert len(said) == 1 and f"{file} {reason}" in said[0]
