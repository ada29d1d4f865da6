"""A pruned network is built again from its class, the record of what went, and its weights: it gives the same."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from hqp.compress.blocks import standing_in
from hqp.compress.blocks.finding import find_blocks
from hqp.compress.channels import groups
from hqp.compress.channels.finding import find_groups
from hqp.compress.exporting.pruned_weights import rebuilt, write
from hqp.compress.network.layers import layers
from hqp.errors import Damaged, HqpError
from hqp.records import Replaced

torch.set_num_threads(1)

SIZE = 32
FIX = "make it anew"


class Residual(nn.Module):
    """A stem, a block with a depthwise layer whose sum has the stem's channels, and a head."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.inner = nn.Sequential(
            nn.Conv2d(8, 12, 1), nn.ReLU(), nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.ReLU()
        )
        self.outer = nn.Conv2d(12, 8, 1, bias=False)
        self.head = nn.Linear(8, num_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.stem(x)).relu()
        return self.head((x + self.outer(self.inner(x))).relu().mean((2, 3)))


NETWORKS: dict[str, Callable[[int], nn.Module]] = {
    "residual": Residual,
    "mobilenet_v3_small": lambda classes: torchvision.models.mobilenet_v3_small(num_classes=classes),
    "densenet": lambda classes: torchvision.models.DenseNet(8, (2, 2), 8, num_classes=classes),
}


def pruned(build: Callable[[int], nn.Module], replaced: tuple[Replaced, ...] = ()) -> tuple[nn.Module, groups.Removed]:
    """A network whose every third channel is gone, with weights that no initialisation gives."""
    torch.manual_seed(0)
    model, example = build(5).eval(), torch.zeros(1, 3, SIZE, SIZE)
    for values in model.state_dict().values():
        if values.is_floating_point():
            values.copy_(torch.rand_like(values) * 0.2 + 0.01)
    model = standing_in.without(model, replaced)
    found = find_groups(model, example)
    removal = {group.name: tuple(range(0, group.channels - 1, 3)) for group in found}
    return groups.remove(model, removal, found), groups.removed(found, removal)


def test_blocks_that_became_something_simpler_are_that_again(tmp_path: Path) -> None:
    build, path, example = (
        NETWORKS["mobilenet_v3_small"],
        tmp_path / "weights.safetensors",
        torch.rand(2, 3, SIZE, SIZE),
    )
    every = find_blocks(build(5).eval(), example)
    assert {block.kind for block in every} == {"gate", "residual"}
    outside = [block for block in every if not any(block.name.startswith(f"{other.name}.") for other in every)]
    replaced = (*outside[:2], *outside[-2:])
    model, removed = pruned(build, replaced)
    write(path, model, removed, torch.zeros(1, 3, SIZE, SIZE), replaced)
    again = rebuilt(path, build, FIX)
    with torch.no_grad():
        assert torch.equal(again(example), model(example))
    assert again.state_dict().keys() == model.state_dict().keys()


@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_rebuilt_gives_what_was_written(name: str, tmp_path: Path) -> None:
    build, path = NETWORKS[name], tmp_path / "weights.safetensors"
    model, removed = pruned(build)
    write(path, model, removed, torch.zeros(1, 3, SIZE, SIZE))
    again = rebuilt(path, build, FIX)
    images = torch.randn(2, 3, SIZE, SIZE)
    with torch.no_grad():
        assert torch.equal(again(images), model(images))
    assert not again.training
    shapes = {layer: tuple(module.weight.shape) for layer, module in layers(model).items()}
    assert {layer: tuple(module.weight.shape) for layer, module in layers(again).items()} == shapes
    again.train()(images).sum().backward()
    assert all(values.grad is not None for values in again.parameters())


def test_a_bias_that_recovery_gave_comes_back(tmp_path: Path) -> None:
    model, removed = pruned(Residual)
    outer = layers(model)["outer"]
    outer.bias = nn.Parameter(torch.full((outer.out_channels,), 0.5))
    write(tmp_path / "w", model, removed, torch.zeros(1, 3, SIZE, SIZE))
    assert torch.equal(layers(rebuilt(tmp_path / "w", Residual, FIX))["outer"].bias, outer.bias)


def test_the_record_says_which_indices_went(tmp_path: Path) -> None:
    model, removed = pruned(Residual)
    write(tmp_path / "w", model, removed, torch.zeros(1, 3, SIZE, SIZE))
    with safe_open(tmp_path / "w", "pt") as file:
        record = json.loads(file.metadata()["hqp"])
    assert (record["outputs"], record["input_size"]) == (5, SIZE)
    sums, inner = [0, 3, 6], [0, 3, 6, 9]
    assert record["removed"] == {
        "head": {"input": sums},
        "inner.0": {"filter": inner, "input": sums},
        "inner.2": {"filter": inner, "input": inner},
        "norm": {"norm": sums},
        "outer": {"filter": sums, "input": inner},
        "stem": {"filter": sums},
    }


def test_the_same_network_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path / name, *pruned(Residual), torch.zeros(1, 3, SIZE, SIZE))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_another_class_is_refused_and_so_is_a_plain_state_dict(tmp_path: Path) -> None:
    model, removed = pruned(Residual)
    write(tmp_path / "w", model, removed, torch.zeros(1, 3, SIZE, SIZE))
    with pytest.raises(HqpError, match="is of another network: this one has no layer 'head'"):
        rebuilt(tmp_path / "w", NETWORKS["densenet"], FIX)

    class Wider(Residual):
        def __init__(self, num_classes: int) -> None:
            super().__init__(num_classes)
            self.outer, self.stem = nn.Conv2d(12, 9, 1, bias=False), nn.Conv2d(3, 9, 3, padding=1, bias=False)
            self.norm, self.head = nn.BatchNorm2d(9), nn.Linear(9, num_classes)
            self.inner[0] = nn.Conv2d(9, 12, 1)

    with pytest.raises(HqpError, match=r"does not fit the model: head.weight is \(5, 5\), not \(5, 6\) and"):
        rebuilt(tmp_path / "w", Wider, FIX)
    save_file(load_file(tmp_path / "w"), tmp_path / "plain")
    with pytest.raises(Damaged, match="plain does not say what was removed; the file of an artefact"):
        rebuilt(tmp_path / "plain", Residual, FIX)
