"""A layer or a batch normalisation without some of its channels, physically, and the same in its old shape again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hqp.compress.network.layers import Layer

# The indices that go from a layer, by role: filter, input or norm.
Gone: TypeAlias = Mapping[str, frozenset[int]]


def shrink(part: Any, gone: Gone) -> None:
    """Takes channels from a part, in place."""
    if isinstance(part, _BatchNorm):
        _shrink_norm(part, gone["norm"])
    else:
        _shrink_layer(part, gone["filter"], gone["input"])


def grow(part: Any, smaller: Any, gone: Gone) -> None:
    """Puts the values of what is left of a part into the whole, in place, and zeros for what is gone."""
    if isinstance(part, _BatchNorm):
        _grow_norm(part, smaller, gone["norm"])
    else:
        _grow_layer(part, smaller, gone["filter"], gone["input"])


def kept(count: int, gone: frozenset[int]) -> list[int]:
    """The indices that stay, of so many."""
    return [index for index in range(count) if index not in gone]


def _taken(values: Tensor | None, left: list[int]) -> nn.Parameter | None:
    return None if values is None else nn.Parameter(values.detach()[left], values.requires_grad)


def _shrink_norm(norm: _BatchNorm, gone: frozenset[int]) -> None:
    left = kept(norm.num_features, gone)
    norm.num_features = len(left)
    norm.weight = _taken(norm.weight, left)
    norm.bias = _taken(norm.bias, left)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean = norm.running_mean[left]
        norm.running_var = norm.running_var[left]


def _shrink_layer(layer: Layer, filters_gone: frozenset[int], inputs_gone: frozenset[int]) -> None:
    outputs = kept(layer.weight.shape[0], filters_gone)
    layer.bias = _taken(layer.bias, outputs)
    weight = layer.weight.detach()[outputs]
    if isinstance(layer, nn.Linear):
        weight = weight[:, kept(layer.in_features, inputs_gone)]
        layer.out_features, layer.in_features = weight.shape
    elif layer.groups == 1:
        weight = weight[:, kept(layer.in_channels, inputs_gone)]
        layer.out_channels, layer.in_channels = weight.shape[:2]
    else:
        # Whole convolution groups go, so the weights of those that stay keep their shape.
        inputs_left = layer.in_channels - len(inputs_gone)
        layer.groups = layer.groups * inputs_left // layer.in_channels
        layer.out_channels, layer.in_channels = len(outputs), inputs_left
    layer.weight = nn.Parameter(weight.contiguous(), layer.weight.requires_grad)


def _grow_norm(norm: _BatchNorm, smaller: _BatchNorm, gone: frozenset[int]) -> None:
    left = kept(norm.num_features, gone)
    _scatter(norm.weight, smaller.weight, left, filler=0.0)
    _scatter(norm.bias, smaller.bias, left, filler=0.0)
    _scatter(norm.running_mean, smaller.running_mean, left, filler=0.0)
    # A variance of 0 would be divided by.
    _scatter(norm.running_var, smaller.running_var, left, filler=1.0)


def _scatter(whole: Tensor | None, values: Tensor | None, left: list[int], filler: float) -> None:
    """Puts the values where ``left`` says, and ``filler`` everywhere else, in place."""
    if whole is not None and values is not None:
        whole.data.fill_(filler)
        whole.data[left] = values.data


def _grow_layer(layer: Layer, smaller: Layer, filters_gone: frozenset[int], inputs_gone: frozenset[int]) -> None:
    outputs = kept(layer.weight.shape[0], filters_gone)
    # Of a grouped convolution whole groups go, so the weights of those that stay keep their shape.
    is_grouped = getattr(layer, "groups", 1) != 1
    inputs = kept(layer.weight.shape[1], frozenset() if is_grouped else inputs_gone)

    weight = torch.zeros_like(layer.weight.data)
    rows, columns = torch.tensor(outputs)[:, None], torch.tensor(inputs)
    weight[rows, columns] = smaller.weight.data
    layer.weight = nn.Parameter(weight, layer.weight.requires_grad)
    if smaller.bias is not None:
        bias = weight.new_zeros(len(weight))
        bias[outputs] = smaller.bias.data
        layer.bias = nn.Parameter(bias)
