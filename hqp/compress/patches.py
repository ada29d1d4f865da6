"""What each output position of a layer sees of its input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.statistics import Convolution, Layer, Transposed


def patches(layer: Convolution, inputs: Tensor) -> Tensor:
    """A view of the padded inputs, (n, in_channels, *output positions, *kernel): what each output position sees."""
    view = padded(layer, inputs)
    for axis, (size, step, spread) in enumerate(zip(layer.kernel_size, layer.stride, layer.dilation, strict=True)):
        view = view.unfold(2 + axis, (size - 1) * spread + 1, step)[..., ::spread]
    return view


def padded(layer: Convolution | Transposed, inputs: Tensor) -> Tensor:
    """The inputs of a convolution, or the outputs of a transposed one, with its padding around them."""
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    return F.pad(inputs, layer._reversed_padding_repeated_twice, mode=mode)


def rows(layer: Layer, inputs: Tensor, positions: int) -> Tensor:
    """Patches in the order of a filter's weights, a row each, (n * positions, d), of an ungrouped layer.

    Of each image as many output positions as asked for, or all it has; which ones is a function of their number alone.
    """
    if isinstance(layer, nn.Linear):
        tokens = inputs.reshape(len(inputs), -1, layer.in_features)
        return tokens[:, _chosen(tokens.shape[1], positions)].flatten(0, 1)
    view = patches(layer, inputs)
    dimensions = len(layer.kernel_size)
    shape = view.shape[2 : 2 + dimensions]
    places = torch.unravel_index(_chosen(shape.numel(), positions), shape)
    return view[(slice(None), slice(None), *places)].transpose(1, 2).flatten(2).flatten(0, 1)


def _chosen(count: int, positions: int) -> Tensor:
    if count <= positions:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(count))[:positions].sort().values
