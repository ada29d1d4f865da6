"""The order in which a refit misses channels, against least squares solved outright."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from hqp.compress.channels import finding, recover
from hqp.compress.ranking import curvature, redundancy
from hqp.records import Group, Member


def test_of_two_channels_that_say_the_same_one_goes_first_and_the_other_late() -> None:
    layer = nn.Linear(4, 3)
    inputs = torch.randn(200, 4, generator=torch.Generator().manual_seed(0)) * torch.tensor([3.0, 1.0, 0.2, 1.0])
    inputs[:, 3] = inputs[:, 0]
    with torch.no_grad():
        layer.weight.fill_(1.0)
    model = nn.Sequential(layer)
    grams = recover.grams(model, ["0"], [inputs])
    group = Group("a", 4, (Member("0", "input", tuple((index,) for index in range(4))),))
    order = redundancy.order(model, group, grams, {"0": torch.eye(3)})
    assert order is not None and order[0] in (0, 3)
    assert order[1:] == (2, 1, 3 - order[0])


@pytest.mark.parametrize("precision", [torch.float32, torch.float64])
def test_losses_are_what_least_squares_leaves(precision: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(3, 2, 2, bias=False)
    images = torch.randn(50, 3, 4, 4, generator=generator)
    images[:, 1] += images[:, 0]
    bend = torch.tensor([[2.0, 0.5], [0.5, 1.0]])
    model = nn.Sequential(layer)
    gram = recover.grams(model, ["0"], [images])["0"]
    inputs = redundancy.Inputs(layer, gram, bend, precision)
    inputs.remove({2})
    losses = inputs.losses()

    patches = F.unfold(images, 2).transpose(1, 2).flatten(0, 1).double()
    whole = patches @ layer.weight.detach().flatten(1).double().T

    def left_by(channels: tuple[int, ...]) -> float:
        seen = [patches[:, 4 * channel : 4 * channel + 4] for channel in channels]
        design = torch.cat([*seen, torch.ones(len(patches), 1)], 1)
        error = whole - design @ torch.linalg.lstsq(design, whole).solution
        return float(((error @ bend.double()) * error).sum(1).mean())

    for gone, stays in itertools.permutations((0, 1)):
        assert losses[gone] == pytest.approx(left_by((stays,)) - left_by((0, 1)), rel=0.02)


def test_where_float32_is_too_coarse_the_order_is_that_of_float64(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = nn.Linear(3, 2)
    grams = recover.grams(nn.Sequential(layer), ["0"], [torch.randn(50, 3)])
    group = Group("a", 3, (Member("0", "input", tuple((index,) for index in range(3))),))
    asked = nn.Sequential(layer), group, grams, {"0": torch.eye(2)}
    wanted = redundancy.order(*asked)
    cholesky, refused = torch.linalg.cholesky, list[torch.dtype]()

    def only_in_float64(matrix: torch.Tensor) -> torch.Tensor:
        if matrix.dtype == torch.float32:
            refused.append(matrix.dtype)
            raise torch.linalg.LinAlgError("not positive-definite")
        root: torch.Tensor = cholesky(matrix)
        return root

    monkeypatch.setattr(torch.linalg, "cholesky", only_in_float64)
    assert redundancy.order(*asked) == wanted and refused == [torch.float32]


def test_curvatures_are_the_products_of_each_positions_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(8, 3)).eval()
    images, labels = torch.randn(5, 3, 4, 4), torch.tensor([0, 1, 2, 0, 1])
    found = curvature.curvatures(model, ["0", "3"], [(images[:3], labels[:3]), (images[3:], labels[3:])])
    outputs = model[0](images).detach().requires_grad_()
    logits = model[3](outputs.relu().flatten(1))
    logits.retain_grad()
    F.cross_entropy(logits, labels, reduction="sum").backward()
    assert outputs.grad is not None and logits.grad is not None
    by_position = outputs.grad.movedim(1, -1).flatten(0, -2)
    assert torch.allclose(found["0"], by_position.T @ by_position / 5, atol=1e-6)
    assert torch.allclose(found["3"], logits.grad.T @ logits.grad / 5, atol=1e-6)


def test_a_group_that_no_fitted_layer_takes_has_no_order() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2)
    )
    group = finding.find_groups(model, torch.zeros(1, 3, 4, 4))[0]
    assert redundancy.order(model, group, {}, {}) is None
