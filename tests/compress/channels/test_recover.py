"""Refitting: exact where the lost channels can be made up for, the best there is elsewhere; batch norm taken anew."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.channels import recover
from hqp.compress.channels.finding import find_groups
from hqp.compress.channels.groups import remove, removed
from hqp.compress.channels.patches import rows
from hqp.compress.channels.recover import fitted, grams, moments, moved, normalise_by, refit

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


def net(**options: object) -> Net:
    torch.manual_seed(0)
    return Net(**options).eval()


def recovered(dense: nn.Module, images: Tensor = IMAGES, **channels: list[int]) -> nn.Module:
    groups = find_groups(dense, EXAMPLE)
    smaller = remove(dense, channels, groups)
    seen = grams(dense, fitted(dense, ["second", "depthwise", "head"]), images.split(20))
    refit(dense, smaller, removed(groups, channels), seen)
    return smaller


def pruned(dense: nn.Module, **channels: list[int]) -> nn.Module:
    return remove(dense, channels, find_groups(dense, EXAMPLE))


@pytest.mark.parametrize("options", [{}, {"stride": 2}, {"dilation": 2, "padding_mode": "reflect"}])
def test_what_a_kept_channel_repeats_is_made_up_for(options: dict[str, object]) -> None:
    dense = net(**options)
    with torch.no_grad():
        for lost, like, times in ((5, 0, 2.0), (6, 1, 0.5), (7, 2, 3.0)):
            dense.first.weight[lost] = times * dense.first.weight[like]
    before = (pruned(dense, first=[5, 6, 7])(IMAGES) - dense(IMAGES)).abs().max()
    after = (recovered(dense, first=[5, 6, 7])(IMAGES) - dense(IMAGES)).abs().max()
    assert after < 0.02 * before, (float(before), float(after))


def columns(dense: Net, channels: Sequence[int]) -> Tensor:
    """What `second` sees of these channels, by torch's own unfolding, and a one."""
    seen = F.relu(dense.norm(dense.first(IMAGES)))[:, channels]
    patches = F.unfold(seen, 3, padding=1).transpose(1, 2).flatten(0, 1).double()
    return torch.cat([patches, torch.ones(len(patches), 1, dtype=torch.float64)], 1)


def test_the_fit_is_that_of_least_squares() -> None:
    dense = net()
    smaller = recovered(dense, first=[0, 3], second=[1])
    left = columns(dense, [1, 2, 4, 5, 6, 7])
    wanted = dense.second(F.relu(dense.norm(dense.first(IMAGES))))[:, [0, 2, 3, 4, 5]].flatten(2)
    wanted = wanted.transpose(1, 2).flatten(0, 1).double()
    best = (left @ torch.linalg.lstsq(left, wanted).solution - wanted).square().mean()
    found = left @ torch.cat([smaller.second.weight.flatten(1), smaller.second.bias[:, None]], 1).double().T
    assert (found - wanted).square().mean() < 1.001 * best
    assert torch.equal(smaller.depthwise.weight, dense.depthwise.weight[[0, 2, 3, 4, 5]]), "grouped ones are left"


@pytest.mark.parametrize("at_once", [1, 1500, 10**6])
def test_the_gram_matrix_is_that_of_the_patches(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    """However many of them are multiplied at once: those of each batch, of two, and of all at the end."""
    monkeypatch.setattr(recover, "ROWS_AT_ONCE", at_once)
    dense = net()
    (gram,) = grams(dense, ["second"], IMAGES.split(20)).values()
    patches = columns(dense, range(8))
    torch.testing.assert_close(gram.double(), patches.T @ patches, rtol=1e-4, atol=1e-3)


class Same(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, 1, 0, 1)))


def test_what_a_layer_pads_by_itself_counts() -> None:
    torch.manual_seed(0)
    layer = Same(3, 4, 3, stride=2)
    (gram,) = grams(nn.Sequential(layer), ["0"], IMAGES.split(20)).values()
    patches = F.unfold(F.pad(IMAGES, (0, 1, 0, 1)), 3, stride=2).transpose(1, 2).flatten(0, 1)
    seen = F.pad(patches, (0, 1), value=1.0).double()
    torch.testing.assert_close(gram.double(), seen.T @ seen, rtol=1e-4, atol=1e-3)


def test_a_linear_layer_behind_a_flattening_is_fitted() -> None:
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Conv2d(3, 6, 3, stride=3), nn.ReLU(), nn.Flatten(), nn.Linear(24, 5)).eval()
    with torch.no_grad():
        dense[0].weight[5], dense[0].bias[5] = 2 * dense[0].weight[0], 2 * dense[0].bias[0]
    groups = find_groups(dense, EXAMPLE)
    smaller = remove(dense, {"0": [5]}, groups)
    refit(dense, smaller, removed(groups, {"0": [5]}), grams(dense, ["3"], [IMAGES]))
    error, before = smaller(IMAGES) - dense(IMAGES), remove(dense, {"0": [5]}, groups)(IMAGES) - dense(IMAGES)
    assert error.abs().max() < 0.05 * before.abs().max()


def test_what_lost_no_input_is_left_as_it_is() -> None:
    dense = net()
    smaller = recovered(dense, second=[2])
    assert torch.equal(smaller.second.weight, dense.second.weight[[0, 1, 3, 4, 5]]) and smaller.second.bias is None
    assert not torch.equal(smaller.head.weight, dense.head.weight[:, [0, 1, 3, 4, 5]])


def test_few_images_pull_weights_only_a_little() -> None:
    dense = net()
    before = pruned(dense, first=[0]).second.weight
    after = recovered(dense, IMAGES[:1], first=[0]).second.weight
    assert torch.isfinite(after).all() and (after - before).norm() < before.norm()


def test_grouped_and_very_wide_layers_are_not_fitted() -> None:
    assert fitted(net(), ["head", "depthwise", "first"]) == ["first", "head"]
    wide = nn.Sequential(nn.Linear(8193, 2), nn.Linear(2, 2))
    assert fitted(wide, ["0", "1"]) == ["1"]


def test_of_many_positions_the_same_ones_are_taken() -> None:
    layer = nn.Conv2d(3, 2, 3, padding=1)
    found = rows(layer, IMAGES[:4], 10)
    every = F.unfold(IMAGES[:4], 3, padding=1).transpose(1, 2)
    assert found.shape == (40, 27) and torch.equal(found, rows(layer, IMAGES[:4], 10))
    chosen = [position for position in range(64) if any(torch.equal(every[0, position], row) for row in found[:10])]
    assert len(chosen) == 10
    assert torch.equal(found, every[:, chosen].flatten(0, 1))


def test_moments_are_those_of_what_a_norm_sees_and_leave_the_model_as_it_is() -> None:
    dense = net()
    dense.norm.momentum = 0.01
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    mean, variance = moments(dense, [IMAGES[:24], IMAGES[24:47], IMAGES[47:]])["norm"]
    seen = [F.conv2d(part, dense.first.weight, padding=1) for part in (IMAGES[:24], IMAGES[24:47])]
    torch.testing.assert_close(mean, torch.stack([one.mean((0, 2, 3)) for one in seen]).mean(0))
    torch.testing.assert_close(variance, torch.stack([one.var((0, 2, 3)) for one in seen]).mean(0))
    assert not dense.training and not dense.norm.training and dense.norm.momentum == 0.01
    assert all(torch.equal(value, before[name]) for name, value in dense.state_dict().items())


def test_without_a_batch_of_two_images_there_are_no_moments() -> None:
    assert moments(net(), IMAGES[:3].split(1)) == {}


def test_moments_move_by_what_removal_changes() -> None:
    dense = net()
    trained = torch.arange(1.0, 9.0), torch.arange(2.0, 10.0)
    normalise_by(dense, {"norm": trained})
    gone = {("norm", "norm"): frozenset({2})}
    kept = [0, 1, 3, 4, 5, 6, 7]
    whole = {"norm": (torch.full((8,), 0.5), torch.full((8,), 4.0))}
    seen = {"norm": (torch.full((7,), 0.75), torch.full((7,), 2.0))}
    smaller = pruned(dense, first=[2])
    mean, variance = moved(smaller, whole, seen, gone)["norm"]
    assert torch.equal(mean, trained[0][kept] + 0.25)
    torch.testing.assert_close(variance, trained[1][kept] / 2, rtol=1e-4, atol=0)


def test_where_nothing_is_removed_nothing_moves_to_the_bit() -> None:
    dense = net()
    normalise_by(dense, {"norm": (torch.randn(8), torch.rand(8) + 0.1)})
    whole = moments(dense, IMAGES.split(20))
    same = pruned(dense)
    normalise_by(same, moved(same, whole, moments(same, IMAGES.split(20)), {}))
    refit(dense, same, {}, grams(dense, ["second", "head"], IMAGES.split(20)))
    state = same.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in dense.state_dict().items())
    assert torch.equal(same(IMAGES), dense(IMAGES))


def test_a_channel_that_is_constant_on_these_images_keeps_its_variance() -> None:
    dense = net()
    whole = {"norm": (torch.zeros(8), torch.full((8,), 1e-12))}
    seen = {"norm": (torch.zeros(8), torch.full((8,), 1e-10))}
    _, variance = moved(dense, whole, seen, {})["norm"]
    torch.testing.assert_close(variance, dense.norm.running_var, rtol=1e-3, atol=0)
