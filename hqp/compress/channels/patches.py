"""What each output position of a layer sees of its input."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.network.layers import Convolution, Layer, Transposed
from hqp.compress.network.plain import is_as_torch_has_it, kind_of
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


def as_seen(name: str, layer: Layer | Transposed, inputs: Tensor) -> Tensor:
    """The inputs, with what a layer of its own class pads by itself: as TensorFlow's "same" does, the odd one last.

    ``name`` is the layer's.

    Raises:
        HqpError: it pads them otherwise.
    """
    if not isinstance(layer, Convolution) or is_as_torch_has_it(layer):
        return inputs
    with torch.no_grad():
        output = layer.forward(inputs)
    missing = _missing_padding(layer, inputs, output)
    if not any(missing):
        return inputs
    widths = []
    for width in missing:
        before = width // 2
        widths += [before, width - before]
    seen = F.pad(inputs, widths)
    computed = kind_of(layer).forward(layer, seen)
    if not torch.allclose(computed, output, rtol=1e-2, atol=1e-3):
        raise HqpError(f"layer '{name}' pads its inputs in a way of its own", "padding that the layer declares")
    return seen


def _missing_padding(layer: Convolution, inputs: Tensor, output: Tensor) -> list[int]:
    """By how many pixels the declared padding falls short of so large an output, by axis, the last axis first."""
    # In F.pad's order: two numbers for each axis, the last axis first.
    declared = layer._reversed_padding_repeated_twice
    missing = []
    for place, axis in enumerate(reversed(range(len(layer.kernel_size)))):
        last_start = (output.shape[2 + axis] - 1) * layer.stride[axis]
        reach = (layer.kernel_size[axis] - 1) * layer.dilation[axis]
        needed = last_start + reach + 1 - inputs.shape[2 + axis]
        padded_already = sum(declared[2 * place : 2 * place + 2])
        missing.append(max(0, needed - padded_already))
    return missing


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


def output_rows(layer: nn.Module, output: Tensor, positions: int) -> Tensor:
    """What a layer or normalisation gives at the positions of which ``rows`` has the patches: (n * positions, C)."""
    if isinstance(layer, nn.Linear):
        tokens = output.reshape(len(output), -1, output.shape[-1])
    else:
        tokens = output.flatten(2).transpose(1, 2)
    return tokens[:, _chosen(tokens.shape[1], positions)].flatten(0, 1)


def _chosen(count: int, positions: int) -> Tensor:
    if count <= positions:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(count))[:positions].sort().values
