"""What criteria score by, read from a torch model: weights, batch-norm scales and, where measured, Fisher S."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn

from hqp.compress.network.layers import layers, norms
from hqp.records import Statistics


@dataclass(frozen=True)
class Sensitivities:
    """What one pass measures of every filter, by layer name: each float64 of shape (out_channels,)."""

    fisher: dict[str, Tensor]
    fisher_obd: dict[str, Tensor]


def collect(model: nn.Module, measured: Sensitivities | None = None) -> Statistics:
    """The statistics of a model, in float64, by layer name.

    ``weights`` are (C, d), a filter a row; ``gammas`` (C,) carry their sign, and layers without an affine scale are
    left out; the sensitivities are what ``sensitivity.sensitivities`` gave, or nothing.
    """
    known = layers(model)
    weights = {name: _float64(layer.weight.flatten(1)) for name, layer in known.items()}
    gammas = {name: _float64(norm.weight) for name, norm in norms(model).items() if norm.affine}

    fisher, fisher_obd = {}, {}
    if measured is not None:
        fisher = {name: _float64(values) for name, values in measured.fisher.items()}
        fisher_obd = {name: _float64(values) for name, values in measured.fisher_obd.items()}
    return Statistics(weights, gammas, fisher, fisher_obd)


def _float64(values: Tensor) -> npt.NDArray[np.float64]:
    return values.detach().cpu().double().numpy().copy()
