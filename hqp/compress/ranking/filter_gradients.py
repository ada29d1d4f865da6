"""The sums over samples that sensitivities are made of, of one layer: by a Gram matrix or by the samples' gradients.

With x_t the input patch at output position t, a filter's gradient is G_f = Σ_t δ_ft x_t, and ‖G_f‖² = δ_fᵀ K δ_f with
the Gram matrix K = XᵀX of the patches: the same number by two routes. Beside K, ⟨G_f, W_f⟩ is Σ_t δ_ft (y_ft - b_f)
with the output y and the bias b.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import grad

from hqp.compress.channels.patches import padded, patches
from hqp.compress.network.layers import Convolution, Layer, Transposed

# Output positions by kernel position of a depthwise layer: measured on MobileNetV3-Large at 224 px, where 7x7 positions
# under 5x5 kernels are two to four times as fast without the library, and 28x28 positions are as fast with it.
SMALL = 64

# Samples in one call of the library for an ungrouped layer: alone, torch takes a slower kernel for a small image.
TOGETHER = 2

WEIGHT_GRADIENTS = {1: grad.conv1d_weight, 2: grad.conv2d_weight, 3: grad.conv3d_weight}


def filters(layer: Layer | Transposed) -> int:
    """How many filters a layer has: its output channels."""
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def by_gram(layer: Layer | Transposed, output: Tensor) -> bool:
    """Whether the Gram matrix is the cheaper route, in multiply-adds a sample: T² (d + C) for it against T d C."""
    if isinstance(layer, nn.Linear):
        positions = output[0].numel() // layer.out_features
        weights, filters = layer.in_features, layer.out_features
    elif isinstance(layer, Convolution) and not _is_depthwise(layer):
        positions = output[0, 0].numel()
        weights, filters = layer.weight[0].numel(), layer.out_channels // layer.groups
    else:
        return False
    return positions * (weights + filters) < weights * filters


def _is_depthwise(layer: Convolution) -> bool:
    return bool(layer.groups == layer.in_channels == layer.out_channels)


def squared(layer: Layer | Transposed, inputs: Tensor, outputs: Tensor | None, delta: Tensor) -> Tensor:
    """Σ_i ‖∂L_i/∂W_f‖² and Σ_i ⟨∂L_i/∂W_f, W_f⟩² of one layer, float64 of shape (2, out_channels).

    ``delta`` is the gradient of the layer's outputs. Where these are given, the Gram matrix is the route.
    """
    if outputs is not None and not isinstance(layer, Transposed):
        return torch.stack([_squares_by_gram(layer, inputs, delta), _squared_products(layer, outputs, delta)])
    if isinstance(layer, Convolution) and _is_depthwise(layer) and _is_small(layer, delta):
        return _depthwise(layer, patches(layer, inputs), delta)
    return _by_gradients(layer, inputs, delta)


def _is_small(layer: Convolution, delta: Tensor) -> bool:
    """Whether calling the library for each sample would take longer than the sample's own work."""
    return bool(delta[0, 0].numel() < SMALL * layer.weight[0].numel())


def _squared_products(layer: Layer, outputs: Tensor, delta: Tensor) -> Tensor:
    """Σ_i ⟨∂L_i/∂W_f, W_f⟩² from what the layer gives without its bias."""
    axis = delta.ndim - 1 if isinstance(layer, nn.Linear) else 1
    outputs, delta = outputs.movedim(axis, -1), delta.movedim(axis, -1)
    if layer.bias is not None:
        outputs = outputs - layer.bias
    products = (outputs * delta).reshape(len(delta), -1, filters(layer)).sum(1)
    return products.square_().sum(0, dtype=torch.float64)


def _squares_by_gram(layer: Layer, inputs: Tensor, delta: Tensor) -> Tensor:
    """Σ_i ‖G_f‖² by the Gram matrix of the patches, (n, groups, T, T)."""
    if isinstance(layer, nn.Linear):
        # One group, and all weights in one part.
        by_group = _tokens(layer, delta)[:, None]
        parts = iter([_tokens(layer, inputs)[:, None]])
    else:
        by_group = delta.unflatten(1, (layer.groups, -1)).flatten(3).mT
        parts = _kernel_rows(layer, patches(layer, inputs))
    gram = torch.stack([part @ part.mT for part in parts]).sum(0)
    return ((gram @ by_group) * by_group).sum((0, 2), dtype=torch.float64).flatten()


def _kernel_rows(layer: Convolution, view: Tensor) -> Iterator[Tensor]:
    """Patches by convolution group, (n, groups, T, part of d), a kernel row each.

    A Gram matrix is a sum over weights, so the parts add up; whole patches would take k² times the memory of the
    activations.
    """
    kernel = view.shape[view.ndim // 2 + 1 :]
    for offset in itertools.product(*map(range, kernel[:-1])):
        row = view[(..., *offset, slice(None))].movedim(1, -1).flatten(1, -3)
        yield row.unflatten(-1, (layer.groups, -1)).movedim(3, 1).flatten(3)


def _by_gradients(layer: Layer | Transposed, inputs: Tensor, delta: Tensor) -> Tensor:
    """Both sums, (2, out_channels), by the gradients of the samples themselves."""
    sums = torch.zeros(2, filters(layer), dtype=torch.float64, device=delta.device)
    for gradients in _gradients(layer, inputs, delta):
        sums[1] += _by_filter(layer, gradients * layer.weight).square_().sum(0)
        sums[0] += _by_filter(layer, gradients.square_()).sum(0)
    return sums


def _gradients(layer: Layer | Transposed, inputs: Tensor, delta: Tensor) -> Iterator[Tensor]:
    """The gradient of the weight by each sample, (part of n, *weight)."""
    if _is_linear(layer):
        yield (_tokens(layer, delta).mT @ _tokens(layer, inputs)).reshape(-1, *layer.weight.shape)
        return
    together = TOGETHER if layer.groups == 1 else 1
    for some, theirs in zip(inputs.split(together), delta.split(together), strict=True):
        yield _of_each(layer, some, theirs)


def _is_linear(layer: Layer | Transposed) -> bool:
    """Whether every output position is the same linear function of one input position."""
    if isinstance(layer, Convolution):
        trivial = {*layer.kernel_size, *layer.stride, layer.groups} == {1}
        return trivial and not any(layer._reversed_padding_repeated_twice)
    return isinstance(layer, nn.Linear)


def _tokens(layer: Layer | Transposed, values: Tensor) -> Tensor:
    """Inputs or outputs of a linear layer or a pointwise convolution, (n, positions, channels)."""
    if isinstance(layer, Convolution):
        return values.flatten(2).mT
    return values.reshape(len(values), -1, values.shape[-1])


def _of_each(layer: Convolution | Transposed, inputs: Tensor, delta: Tensor) -> Tensor:
    """The gradient of the weight by each sample, (n, *weight), as one convolution in which each is a group.

    The library's kernel for it is up to twice as fast as a product of patches.
    """
    # In a transposed convolution inputs and gradients change places.
    seen, given = (delta, inputs) if isinstance(layer, Transposed) else (inputs, delta)
    padding = layer.padding
    if layer.padding_mode != "zeros" or isinstance(padding, str):
        seen, padding = padded(layer, seen), 0
    samples, (filters, *kernel) = len(seen), layer.weight.shape
    gradient = WEIGHT_GRADIENTS[delta.ndim - 2](
        seen.flatten(0, 1)[None],
        (samples * filters, *kernel),
        given.flatten(0, 1)[None],
        layer.stride,
        padding,
        layer.dilation,
        samples * layer.groups,
    )
    return gradient.unflatten(0, (samples, filters))


def _by_filter(layer: Layer | Transposed, values: Tensor) -> Tensor:
    """Of values like the weight, one a sample, the sums over each filter: float64 of shape (n, out_channels)."""
    if isinstance(layer, Transposed):
        values = values.unflatten(1, (layer.groups, -1)).transpose(2, 3).flatten(1, 2)
    return values.sum(tuple(range(2, values.ndim)), dtype=torch.float64)


def _depthwise(layer: Convolution, view: Tensor, delta: Tensor) -> Tensor:
    """Both sums, (2, channels), where each channel has its own kernel, a kernel position at a time."""
    fisher = torch.zeros(delta.shape[1], dtype=torch.float64, device=delta.device)
    products = torch.zeros(delta.shape[:2], dtype=delta.dtype, device=delta.device)
    positions = tuple(range(2, delta.ndim))
    # One buffer for all: fresh memory at every kernel position takes several times as long.
    product = torch.empty_like(delta)
    for offset in itertools.product(*map(range, layer.kernel_size)):
        gradients = torch.mul(view[(..., *offset)], delta, out=product).sum(positions)
        products += gradients * layer.weight[(slice(None), 0, *offset)]
        fisher += gradients.square_().sum(0, dtype=torch.float64)
    return torch.stack([fisher, products.square_().sum(0, dtype=torch.float64)])
