"""The layers that have filters, and the batch normalisations, of a network by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

Convolution: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d
Layer: TypeAlias = nn.Conv1d | nn.Conv2d | nn.Conv3d | nn.Linear
Transposed: TypeAlias = nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d


def layers(model: nn.Module) -> dict[str, Layer]:
    """Every convolution and linear layer by its qualified name, in the order in which the model declares them."""
    return {name: module for name, module in model.named_modules() if isinstance(module, Layer)}


def give_biases(model: nn.Module, state: Mapping[str, Tensor]) -> None:
    """Gives a bias to each layer that has none and for which ``state`` holds one, as recovery does."""
    for name, layer in layers(model).items():
        bias = state.get(f"{name}.bias")
        if bias is not None and layer.bias is None:
            layer.bias = nn.Parameter(bias)


def norms(model: nn.Module) -> dict[str, _BatchNorm]:
    """Every batch normalisation by its qualified name, in the order in which the model declares them."""
    return {name: module for name, module in model.named_modules() if isinstance(module, _BatchNorm)}
