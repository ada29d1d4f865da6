"""What criteria score by, read from a torch model: weights, batch-norm scales and, where measured, Fisher S."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hqp.compress.network.layers import Layer, layers, norms
from hqp.records import Statistics


@dataclass(frozen=True)
class Sensitivities:
    """What one pass measures of every filter, by layer name: each float64 of shape (out_channels,)."""

    fisher: dict[str, Tensor]
    fisher_obd: dict[str, Tensor]


def collect(
    model: nn.Module,
    example: Tensor,
    measured: Sensitivities | None = None,
    channel_us: Mapping[str, float] = MappingProxyType({}),
) -> Statistics:
    """The statistics of a model, in float64, by layer name; ``example`` is a batch of its input.

    ``weights`` are (C, d), a filter a row; ``gammas`` (C,) carry their sign, and layers without an affine scale are
    left out; the sensitivities are what ``sensitivity.sensitivities`` gave, or nothing, and ``channel_us`` what
    ``channel_time.channel_us`` did.
    """
    known = layers(model)
    weights = {name: _float64(layer.weight.flatten(1)) for name, layer in known.items()}
    gammas = {name: _float64(norm.weight) for name, norm in norms(model).items() if norm.affine}

    filter_macs, input_macs = {}, {}
    for name, positions in output_positions(model, example).items():
        layer = known[name]
        filter_macs[name] = float(positions * layer.weight[0].numel())
        input_macs[name] = filter_macs[name] * len(layer.weight) / _inputs(layer)

    fisher, fisher_obd = {}, {}
    if measured is not None:
        fisher = {name: _float64(values) for name, values in measured.fisher.items()}
        fisher_obd = {name: _float64(values) for name, values in measured.fisher_obd.items()}
    return Statistics(weights, gammas, fisher, fisher_obd, filter_macs, input_macs, channel_us)


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


def _inputs(layer: Layer) -> int:
    return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels


def _float64(values: Tensor) -> npt.NDArray[np.float64]:
    return values.detach().cpu().double().numpy().copy()
