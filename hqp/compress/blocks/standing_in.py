"""What stands in for a block: an affine map of each channel for a gate, nothing at all for a residual block."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from hqp.compress.network.copies import copied
from hqp.compress.network.layers import layers
from hqp.errors import HqpError
from hqp.records import Replaced


def without(model: nn.Module, blocks: Iterable[Replaced]) -> nn.Module:
    """A copy of the model in which something simpler stands in for these blocks; gates still scale by 1.

    A gate becomes a batch normalisation: all that prunes, recovers, trains and folds channels knows it already.

    Raises:
        HqpError: the model has no such block.
    """
    simpler = copied(model)
    for block in blocks:
        parent, _, own = block.name.rpartition(".")
        try:
            holder, before = simpler.get_submodule(parent), simpler.get_submodule(block.name)
        except AttributeError:
            wrong = f"the network has no block '{block.name}'"
            raise HqpError(wrong, "the one that was compressed") from None
        setattr(holder, own, _stand_in(block, before))
    return simpler


def _stand_in(block: Replaced, before: nn.Module) -> nn.Module:
    if block.kind == "residual":
        return nn.Identity()
    like = next(before.parameters())
    return nn.BatchNorm2d(block.channels, device=like.device, dtype=like.dtype).eval()


@torch.no_grad()
def fit(norm: nn.BatchNorm2d, inputs: Tensor, outputs: Tensor) -> None:
    """Lets a gate's stand-in give, for inputs (rows, channels), what is nearest to these outputs by least squares.

    Its statistics are those of its inputs, so that they may move as those of any other batch normalisation. Of a gate
    that is constant the map is that gate, exactly.
    """
    given, wanted = inputs.double(), outputs.double()
    mean, variance = given.mean(0), given.var(0, correction=0)
    covariance = ((given - mean) * (wanted - wanted.mean(0))).mean(0)
    # A channel that is constant on these images is scaled by nothing.
    scale = covariance / variance.clamp(min=torch.finfo(torch.float64).tiny)
    norm.running_mean, norm.running_var = mean.to(norm.weight.dtype), variance.to(norm.weight.dtype)
    deviation = (norm.running_var.double() + norm.eps).sqrt()
    norm.weight.copy_(scale * deviation)
    norm.bias.copy_(wanted.mean(0))


def filters_within(model: nn.Module, block: Replaced) -> dict[str, int]:
    """The number of filters of every layer that goes with a block, by name."""
    every = layers(model).items()
    return {name: layer.weight.shape[0] for name, layer in every if name.startswith(f"{block.name}.")}
