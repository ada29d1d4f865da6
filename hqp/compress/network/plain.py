"""A network in the form that the engine takes, giving the same: attention as layers, every weight a parameter.

Weight normalisation, spectral normalisation and weight standardisation compute a layer's weight anew at every call, the
last two of all of its inputs, so that to lose one would change what stays. Here the layer gets what they compute.
"""

from __future__ import annotations

from typing import Any, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from hqp.compress.network import attention
from hqp.compress.network.layers import Layer

COMPUTING = frozenset((F.conv1d, F.conv2d, F.conv3d, F.linear))

# Positions along each axis of the input on which a layer is tried, beyond what its kernel spans.
SPARE = 4

TOLERANCE = 1e-5


class _Weights(TorchFunctionMode):
    """Notes the weights and biases that convolutions and linear layers compute with."""

    def __init__(self) -> None:
        super().__init__()
        self.used: list[tuple[Tensor, Tensor | None]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in COMPUTING:
            named = dict(zip(("input", "weight", "bias"), args, strict=False)) | kwargs
            self.used.append((named["weight"], named.get("bias")))
        return func(*args, **kwargs)


def plain(model: nn.Module) -> nn.Module:
    """The model, changed in place, which must be in evaluation mode and have its weights."""
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.MultiheadAttention) and attention.can_unfold(child):
                setattr(parent, name, attention.Attention(child))
            elif isinstance(child, Layer) and _may_compute(child):
                setattr(parent, name, _settled(child))
    return model


def _may_compute(layer: Layer) -> bool:
    return "weight" not in layer._parameters or not is_as_torch_has_it(layer)


def is_as_torch_has_it(layer: Layer) -> bool:
    """Whether a layer computes as torch's class: one of another class may compute, and pad, in a way of its own."""
    return type(layer).forward is kind_of(layer).forward


def kind_of(layer: Layer) -> Any:
    """The class of torch that a layer is, or is derived from."""
    return next(kind for kind in get_args(Layer) if isinstance(layer, kind))


@torch.no_grad()
def _settled(layer: Any) -> nn.Module:
    """A plain layer with the weight that this one computes, or the layer itself where that is not all it does."""
    first, second = _probes(layer)
    try:
        with _Weights() as noted:
            layer(first)
    except (TypeError, ValueError, RuntimeError):  # it takes more than one tensor, or another shape
        return layer
    # A layer that computes twice, or with the very weight that it has, is none of those that compute theirs.
    if len(noted.used) != 1:
        return layer
    weight, bias = noted.used[0]
    if weight is layer._parameters.get("weight"):
        return layer
    settled = _with_values(layer, weight, bias)
    return settled if settled is not None and _give_the_same(settled, layer, second) else layer


def _with_values(layer: Any, weight: Tensor, bias: Tensor | None) -> Any:
    """A plain layer with these values; ``None`` where the weight has not the layer's shape."""
    settled = _like(layer, bias is not None).to(weight.device, weight.dtype).train(layer.training)
    if settled.weight.shape != weight.shape:
        return None
    settled.weight.copy_(weight)
    if bias is not None:
        settled.bias.copy_(bias)
    return settled


def _give_the_same(one: nn.Module, other: nn.Module, image: Tensor) -> bool:
    found, expected = one(image), other(image)
    return found.shape == expected.shape and torch.allclose(found, expected, rtol=TOLERANCE, atol=TOLERANCE)


def _probes(layer: Any) -> Tensor:
    """Two inputs of noise, batches of one: on the second it shows whether a weight depends on the input."""
    parameter = next(layer.parameters())
    if isinstance(layer, nn.Linear):
        shape = [layer.in_features]
    else:
        spans = zip(layer.kernel_size, layer.dilation, strict=True)
        shape = [layer.in_channels, *(spread * (size - 1) + 1 + SPARE for size, spread in spans)]
    draws = torch.Generator().manual_seed(0)
    return torch.randn((2, 1, *shape), generator=draws).to(parameter.device, parameter.dtype)


def _like(layer: Any, biased: bool) -> Any:
    if isinstance(layer, nn.Linear):
        return nn.Linear(layer.in_features, layer.out_features, biased)
    return kind_of(layer)(
        layer.in_channels,
        layer.out_channels,
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        layer.groups,
        biased,
        layer.padding_mode,
    )
