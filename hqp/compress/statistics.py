"""What criteria score by, read from a torch model: weights, batch-norm scales and, where measured, Fisher S."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hqp.records import Statistics

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d
Layer: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear


def layers(model: nn.Module) -> dict[str, Layer]:
    """Every convolution and linear layer by its qualified name, in the order in which the model declares them."""
    kinds = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear)
    return {name: module for name, module in model.named_modules() if isinstance(module, kinds)}


def norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Every batch normalisation by its qualified name, in the order in which the model declares them."""
    return {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}


def collect(model: nn.Module, fisher: Mapping[str, Tensor] | None = None) -> Statistics:
    """The statistics of a model, in float64, by layer name.

    ``weights`` are (C, d), a filter a row; ``gammas`` (C,) carry their sign, and layers without an affine scale are
    left out; ``fisher`` is what ``sensitivity.filter_sensitivity`` gave, or nothing.
    """
    weights = {name: _float64(layer.weight.flatten(1)) for name, layer in layers(model).items()}
    gammas = {name: _float64(norm.weight) for name, norm in norms(model).items() if norm.affine}
    return Statistics(weights, gammas, {name: _float64(values) for name, values in (fisher or {}).items()})


def _float64(values: Tensor) -> npt.NDArray[np.float64]:
    return values.detach().cpu().double().numpy().copy()
