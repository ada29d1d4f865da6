"""The multiply-adds of an image in each layer, and its weights, for any number of filters and inputs it has left."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from hqp.compress.network.layers import Layer, layers
from hqp.compress.ranking.greedy import Size


@dataclass(frozen=True)
class Work:
    """What each layer takes that takes as much for each pair of a filter and one of its inputs, ``per_pair``.

    ``own_inputs`` are the inputs of a filter, in those layers whose filters see a part of the inputs alone: they lose
    an input with its filter.
    """

    sizes: Mapping[str, Size]
    per_pair: Mapping[str, float]
    own_inputs: Mapping[str, int]
    blocks: tuple[int, ...] = ()

    def of(self, layer: str, filters: int, inputs: int) -> float:
        """What a layer with so many filters and inputs takes."""
        return self.per_pair[layer] * filters * self.own_inputs.get(layer, inputs)


def work(model: nn.Module, example: Tensor) -> Work:
    """The multiply-adds of a model for an image like ``example``; a layer that the pass does not call has none."""
    positions = output_positions(model, example)
    return _by_pair(model, {name: positions.get(name, 0) for name in layers(model)})


def weights(model: nn.Module, example: Tensor) -> Work:
    """The weights of a model's layers."""
    return _by_pair(model, dict.fromkeys(layers(model), 1))


def _by_pair(model: nn.Module, factors: Mapping[str, int]) -> Work:
    sizes, per_pair, own_inputs = {}, {}, {}
    for name, layer in layers(model).items():
        kernel, inputs_of_a_filter = layer.weight[0, 0].numel(), layer.weight.shape[1]
        sizes[name] = len(layer.weight), inputs_of(layer)
        per_pair[name] = float(factors[name] * kernel)
        if inputs_of_a_filter != inputs_of(layer):
            own_inputs[name] = inputs_of_a_filter
    return Work(sizes, per_pair, own_inputs)


@torch.no_grad()
def output_positions(model: nn.Module, example: Tensor) -> dict[str, int]:
    """How many output positions an image has in each layer that the forward pass calls."""
    positions: dict[str, int] = {}

    def note(name: str, layer: Layer, inputs: tuple[Tensor], output: Tensor) -> None:
        positions[name] = output[0].numel() // len(layer.weight)

    with ExitStack() as hooks:
        for name, layer in layers(model).items():
            hooks.enter_context(layer.register_forward_hook(partial(note, name)))
        model(example)
    return positions


def inputs_of(layer: Layer) -> int:
    """How many inputs a layer has."""
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
