"""What each output position of a layer sees of its input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.network.layers import Convolution, Layer, Transposed
from hqp.compress.network.plain import kind_of
from hqp.errors import HqpError


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


def as_seen(name: str, layer: Layer | Transposed, inputs: Tensor, output: Tensor) -> Tensor:
    """The inputs, with what a layer of its own class pads by itself: as TensorFlow's "same" does, the odd one last.

    ``name`` is the layer's, ``output`` what it made of the inputs.

    Raises:
        HqpError: it pads them otherwise.
    """
    if not isinstance(layer, Convolution) or type(layer).forward is kind_of(layer).forward:
        return inputs
    axes = zip(inputs.shape[2:], output.shape[2:], layer.kernel_size, layer.stride, layer.dilation, strict=True)
    spans = [(places - 1) * step + (size - 1) * spread + 1 - there for there, places, size, step, spread in axes]
    declared = layer._reversed_padding_repeated_twice
    missing = [max(0, span - sum(declared[2 * place : 2 * place + 2])) for place, span in enumerate(reversed(spans))]
    if not any(missing):
        return inputs
    widths = [width for one in missing for width in (one // 2, one - one // 2)]
    seen = F.pad(inputs, widths)
    if not torch.allclose(kind_of(layer).forward(layer, seen), output.detach(), rtol=1e-2, atol=1e-3):
        raise HqpError(f"layer '{name}' pads its inputs in a way of its own", "padding that the layer declares")
    return seen


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
