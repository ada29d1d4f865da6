"""A checkpoint: half precision in the file, float32 in memory, and refused where it is not what its card says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from hqp.compress.training.checkpoint import read_weights, rounded, write_weights
from hqp.errors import Damaged, HqpError


def network(width: int = 4, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


def test_the_file_gives_back_the_rounded_weights_in_float32(tmp_path: Path) -> None:
    model = network()
    model(torch.rand(2, 3, 8, 8))
    path = tmp_path / "signs" / "tiny.safetensors"
    sha256 = write_weights(path, model.state_dict())
    back = read_weights(path, network(seed=1), sha256)
    assert not back.training
    for name, weight in model.state_dict().items():
        expected = weight.half().float() if weight.is_floating_point() else weight
        assert torch.equal(back.state_dict()[name], expected), name
        assert back.state_dict()[name].dtype == weight.dtype


def test_the_same_weights_give_the_same_bytes(tmp_path: Path) -> None:
    first = write_weights(tmp_path / "a", network().state_dict())
    assert write_weights(tmp_path / "b", network().state_dict()) == first
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert write_weights(tmp_path / "c", network(seed=1).state_dict()) != first


def test_weights_beyond_half_precision_are_refused_by_name() -> None:
    with pytest.raises(HqpError, match="'big' does not fit half precision"):
        rounded({"small": torch.ones(2), "big": torch.tensor([1e5])})


def test_a_changed_file_is_not_what_its_card_describes(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    sha256 = write_weights(path, network().state_dict())
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(Damaged, match=r"tiny\.safetensors is not the file its card describes"):
        read_weights(path, network(), sha256)


def test_a_missing_file_names_the_command_that_makes_one(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"there is no weight file .*hqp train"):
        read_weights(tmp_path / "resnet18.safetensors", network(), "")


def test_weights_of_another_architecture_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "tiny.safetensors"
    sha256 = write_weights(path, network().state_dict())
    with pytest.raises(HqpError, match="does not fit the model"):
        read_weights(path, network(width=5), sha256)
