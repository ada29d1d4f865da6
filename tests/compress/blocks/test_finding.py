"""Gates and residual blocks are found by what they do, whatever their class is called."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from hqp.compress.blocks.finding import find_blocks
from hqp.records import Replaced


class Gate(nn.Module):
    """Squeeze-and-excitation in other words."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.down, self.up = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, maps: Tensor) -> Tensor:
        mean = maps.mean((2, 3), keepdim=True)
        return maps * self.up(self.down(mean).relu()).sigmoid()


class Spatial(Gate):
    def forward(self, maps: Tensor) -> Tensor:
        return maps * self.up(self.down(maps)).sigmoid()


class Adds(nn.Module):
    def __init__(self, branch: nn.Module) -> None:
        super().__init__()
        self.branch = branch

    def forward(self, maps: Tensor) -> Tensor:
        return (maps + self.branch(maps)).relu()


class AddsInPlace(Adds):
    def forward(self, maps: Tensor) -> Tensor:
        branch = self.branch(maps)
        branch += maps
        return branch.relu_()


class Doubles(Adds):
    """Of one shape, and nothing is added to its input."""

    def forward(self, maps: Tensor) -> Tensor:
        return 2 * self.branch(maps)


class Twice(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, maps: Tensor) -> Tensor:
        return self.inner(self.inner(maps))


def found(*parts: nn.Module) -> tuple[Replaced, ...]:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), *parts, nn.Conv2d(4, 2, 3), nn.Flatten(), nn.LazyLinear(2)).eval()
    images = torch.rand(2, 3, 8, 8)
    network(images)
    return find_blocks(network, images)


@pytest.mark.parametrize("block", [Adds, AddsInPlace])
def test_what_adds_its_input_to_a_branch_is_a_residual_block(block: type[Adds]) -> None:
    assert found(block(nn.Conv2d(4, 4, 3, padding=1))) == (Replaced("1", "residual", 4),)


def test_a_gate_within_a_block_is_found_with_it() -> None:
    branch = nn.Sequential(nn.Conv2d(4, 6, 1), Gate(6), nn.Conv2d(6, 4, 1))
    assert found(Adds(branch)) == (Replaced("1.branch.1", "gate", 6), Replaced("1", "residual", 4))


def test_of_blocks_within_each_other_the_innermost_are_meant() -> None:
    assert found(nn.Sequential(Adds(nn.Conv2d(4, 4, 1)), Adds(nn.Conv2d(4, 4, 1)))) == (
        Replaced("1.0", "residual", 4),
        Replaced("1.1", "residual", 4),
    )


@pytest.mark.parametrize(
    "other",
    [
        Spatial(4),
        Doubles(nn.Conv2d(4, 4, 1)),
        Twice(Adds(nn.Conv2d(4, 4, 1))),
        nn.Conv2d(4, 4, 1),
        nn.Conv2d(4, 4, 1, groups=4, bias=False),
        nn.Dropout(),
    ],
)
def test_what_does_neither_or_works_in_several_places_is_none(other: nn.Module) -> None:
    assert found(other) == ()
