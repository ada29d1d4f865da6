"""A part without some of its channels has the values of the others, and grown again zeros in their place."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from hqp.compress.channels.shrinking import grow, kept, shrink


def gone(filters: set[int] | None = None, inputs: set[int] | None = None) -> Mapping[str, frozenset[int]]:
    return {"filter": frozenset(filters or ()), "input": frozenset(inputs or ()), "norm": frozenset(filters or ())}


def test_kept_are_the_others_in_their_order() -> None:
    assert kept(5, frozenset({0, 3})) == [1, 2, 4]


def test_a_convolution_loses_rows_and_columns_of_its_weight() -> None:
    whole, part = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
    part.load_state_dict(whole.state_dict())
    shrink(part, gone(filters={1}, inputs={0, 2}))
    assert (part.out_channels, part.in_channels) == (3, 1)
    assert torch.equal(part.weight, whole.weight[[0, 2, 3]][:, [1]])
    assert part.bias is not None and whole.bias is not None and torch.equal(part.bias, whole.bias[[0, 2, 3]])
    assert part(torch.rand(1, 1, 2, 2)).shape == (1, 3, 2, 2)


def test_a_linear_layer_too() -> None:
    part = nn.Linear(3, 4, bias=False)
    before = part.weight.detach().clone()
    shrink(part, gone(filters={0}, inputs={1}))
    assert (part.out_features, part.in_features) == (3, 2)
    assert torch.equal(part.weight, before[1:][:, [0, 2]])


def test_of_a_grouped_convolution_whole_groups_go() -> None:
    part = nn.Conv2d(6, 3, 1, groups=3, bias=False)
    before = part.weight.detach().clone()
    shrink(part, gone(filters={1}, inputs={2, 3}))
    assert (part.groups, part.in_channels, part.out_channels) == (2, 4, 2)
    assert torch.equal(part.weight, before[[0, 2]])


def test_a_norm_loses_its_scale_and_its_statistics() -> None:
    norm = nn.BatchNorm2d(3)
    norm.running_mean, norm.running_var = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([4.0, 5.0, 6.0])
    shrink(norm, gone(filters={1}))
    assert norm.num_features == 2
    assert norm.running_mean.tolist() == [1, 3] and norm.running_var.tolist() == [4, 6]
    assert norm.weight.shape == norm.bias.shape == (2,)


def test_grown_again_what_is_gone_is_zero_and_a_variance_is_one() -> None:
    whole, small = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
    shrink(small, gone(filters={2}, inputs={0}))
    grow(whole, small, gone(filters={2}, inputs={0}))
    assert torch.equal(whole.weight[:2, 1:], small.weight)
    assert not whole.weight[2].any() and not whole.weight[:, 0].any()
    assert whole.bias is not None and small.bias is not None
    assert whole.bias.tolist() == [*small.bias.tolist(), 0.0]

    norm, small_norm = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    shrink(small_norm, gone(filters={0}))
    small_norm.running_var = torch.tensor([7.0, 8.0])
    grow(norm, small_norm, gone(filters={0}))
    assert norm.running_var is not None and norm.running_var.tolist() == [1, 7, 8]
    assert norm.weight.tolist() == [0, 1, 1]
