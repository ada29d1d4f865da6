"""Refitting: exact where the lost channels can be made up for, never worse on the images it was fitted on."""

from __future__ import annotations

import copy
from collections.abc import Iterable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.groups import find_groups, remove
from hqp.compress.recover import fitted, refit

EXAMPLE = torch.zeros(1, 3, 8, 8)
IMAGES = torch.randn(48, 3, 8, 8, generator=torch.Generator().manual_seed(7))


class Net(nn.Module):
    def __init__(self, **options: object) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second = nn.Conv2d(8, 6, 3, padding=1, bias=False, **options)  # type: ignore[arg-type]
        self.depthwise = nn.Conv2d(6, 6, 3, groups=6)
        self.head = nn.Linear(6, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.first(x)))
        return self.head(F.relu(self.depthwise(F.relu(self.second(x)))).mean((2, 3)))


def batches() -> Iterable[Tensor]:
    return IMAGES.split(20)


def net(**options: object) -> Net:
    torch.manual_seed(0)
    return Net(**options).eval()


def pruned(dense: nn.Module, **channels: list[int]) -> nn.Module:
    return remove(dense, EXAMPLE, channels, find_groups(dense, EXAMPLE))


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": 2, "padding_mode": "reflect"}])
def test_what_a_kept_channel_repeats_is_made_up_for(options: dict[str, object]) -> None:
    dense = net(**options)
    with torch.no_grad():
        for lost, like, times in ((5, 0, 2.0), (6, 1, 0.5), (7, 2, 3.0)):
            dense.first.weight[lost] = times * dense.first.weight[like]
    smaller = pruned(dense, first=[5, 6, 7])
    before = (smaller(IMAGES) - dense(IMAGES)).abs().max()
    refit(dense, smaller, {"second": range(6)}, ["second"], batches)
    after = (smaller(IMAGES) - dense(IMAGES)).abs().max()
    assert after < 0.02 * before, (float(before), float(after))


def test_the_fit_is_that_of_least_squares() -> None:
    dense = net()
    smaller = pruned(dense, first=[0, 3], second=[1])
    refit(dense, smaller, {"second": [0, 2, 3, 4, 5], "head": range(4)}, ["second"], batches)
    seen = F.relu(smaller.norm(smaller.first(IMAGES)))
    patches = F.unfold(seen, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    wanted = dense.second(F.relu(dense.norm(dense.first(IMAGES))))[:, [0, 2, 3, 4, 5]].flatten(2)
    wanted = wanted.transpose(1, 2).flatten(0, 1).double()
    columns = torch.cat([patches, torch.ones(len(patches), 1, dtype=torch.float64)], 1)
    best = (columns @ torch.linalg.lstsq(columns, wanted).solution - wanted).square().mean()
    found = columns @ torch.cat([smaller.second.weight.flatten(1), smaller.second.bias[:, None]], 1).double().T
    assert (found - wanted).square().mean() < 1.01 * best
    assert torch.equal(smaller.depthwise.weight, dense.depthwise.weight[[0, 2, 3, 4, 5]]), "grouped ones are left"


def test_layers_are_fitted_behind_those_that_were_fitted_before() -> None:
    dense = net()
    smaller = pruned(dense, first=[0, 1, 2], second=[0])
    once, twice = copy.deepcopy(smaller), copy.deepcopy(smaller)
    kept = {"second": [1, 2, 3, 4, 5], "head": range(4)}
    refit(dense, once, kept, ["second", "head"], batches)
    refit(dense, twice, kept, ["head", "second"], batches)
    assert torch.equal(once.head.weight, twice.head.weight), "in the order of the network, however they are named"
    error = (once(IMAGES) - dense(IMAGES)).square().mean()
    assert error < 0.5 * (smaller(IMAGES) - dense(IMAGES)).square().mean()


def test_without_a_loss_nothing_changes() -> None:
    dense = net()
    same = copy.deepcopy(dense)
    refit(dense, same, {"second": range(6)}, ["second"], batches)
    assert torch.allclose(same(IMAGES), dense(IMAGES), atol=1e-6)


def test_few_images_pull_weights_only_a_little() -> None:
    dense = net()
    smaller = pruned(dense, first=[0])
    before = smaller.second.weight.clone()
    refit(dense, smaller, {"second": range(6)}, ["second"], lambda: [IMAGES[:1]])
    assert torch.isfinite(smaller.second.weight).all()
    assert (smaller.second.weight - before).norm() < before.norm()


def test_grouped_layers_are_not_fitted() -> None:
    assert fitted(net(), ["first", "depthwise", "head"]) == ["first", "head"]
