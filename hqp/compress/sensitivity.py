"""The sensitivities of every filter, exact per sample, at about the cost of one forward and backward pass.

Fisher: S_f = 1/|D| Σ_i ‖∂L_i/∂W_f‖², the squared gradient of each sample, averaged; squaring the gradient of a batch is
another, wrong number. Source: D. Gopalan, R. Ali, arXiv 2602.06069 (2026).

Fisher OBD: 1/|D| Σ_i ⟨∂L_i/∂W_f, W_f⟩², with the Fisher information for the curvature twice the loss that removing the
filter costs. Source: L. Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", arXiv 1801.05787
(2018); Y. LeCun et al., "Optimal Brain Damage" (1989).

One backward pass of the summed losses carries the gradient δ of every sample's loss to every layer's output, since in
evaluation mode no sample sees another. With x_t the input patch at output position t, a filter's gradient is
G_f = Σ_t δ_ft x_t, and ‖G_f‖² = δ_fᵀ K δ_f with the Gram matrix K = XᵀX of the patches: the same number by two routes.
Beside K, ⟨G_f, W_f⟩ is Σ_t δ_ft (y_ft - b_f) with the output y and the bias b. The gradient of the weights over the
batch, which autograd would add, is not computed.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn import grad

from hqp.compress.memory import Parts
from hqp.compress.modes import evaluating
from hqp.compress.patches import as_seen, padded, patches
from hqp.compress.plain import kind_of
from hqp.compress.statistics import Convolution, Layer, Sensitivities, Transposed, layers
from hqp.errors import HqpError

# Output positions by kernel position of a depthwise layer: measured on MobileNetV3-Large at 224 px, where 7x7 positions
# under 5x5 kernels are two to four times as fast without the library, and 28x28 positions are as fast with it.
SMALL = 64

# Samples in one call of the library for an ungrouped layer: alone, torch takes a slower kernel for a small image.
TOGETHER = 2

WEIGHT_GRADIENTS = {1: grad.conv1d_weight, 2: grad.conv2d_weight, 3: grad.conv3d_weight}

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)

Batches = Iterable[tuple[Tensor, Tensor]]


def filter_sensitivity(model: nn.Module, batches: Batches) -> dict[str, Tensor]:
    """S of every filter of every convolution and linear layer, by layer name: float64 of shape (out_channels,).

    Takes and raises what ``sensitivities`` does.
    """
    return sensitivities(model, batches).fisher


def sensitivities(model: nn.Module, batches: Batches, say: Callable[[str], None] = lambda line: None) -> Sensitivities:
    """Both sensitivities of every filter of every convolution, transposed or not, and of every linear layer.

    ``batches`` are images and labels, seen once each. The loss is cross-entropy, the model in evaluation mode; only
    weights count, not biases. The model's modes and flags are restored. A batch that memory does not hold is halved,
    which ``say`` is told.

    Raises:
        HqpError: there is no image; S of a layer is not finite; a layer's gradient cannot be had exactly, since it or
            its weight is used twice, or never, or its input is overwritten.
    """
    measured = measured_layers(model)
    _refuse_shared_weights(measured)
    sums = {name: torch.zeros(2, _filters(layer), dtype=torch.float64) for name, layer in measured.items()}
    images_seen, parts = 0, Parts(say)
    with evaluating(model), _frozen(model), _Taps(measured) as taps:
        for images, labels in batches:
            for found in parts.each(len(images), partial(_measured, model, taps, images, labels)):
                for name, values in found.items():
                    sums[name] += values
            images_seen += len(images)
    if not images_seen:
        raise HqpError("no image to measure sensitivity on", "a calibration split with at least one image")
    for name, values in sums.items():
        if not torch.isfinite(values).all():
            raise HqpError(
                f"the sensitivity of layer '{name}' is not finite", "weights and images without NaN or infinity"
            )
    means = {name: values / images_seen for name, values in sums.items()}
    return Sensitivities(*({name: values[row] for name, values in means.items()} for row in range(2)))


def _measured(model: nn.Module, taps: _Taps, images: Tensor, labels: Tensor, part: slice) -> dict[str, Tensor]:
    """The sums of a part of a batch."""
    taps.begin()
    loss = _summed_loss(model, images[part], labels[part])
    taps.refuse_unused()
    loss.backward()
    return taps.sums


def measured_layers(model: nn.Module) -> dict[str, Layer | Transposed]:
    """The layers that have filters, by qualified name: those that can be pruned, and transposed convolutions."""
    return {**layers(model), **{name: one for name, one in model.named_modules() if isinstance(one, Transposed)}}


def _filters(layer: Layer | Transposed) -> int:
    return layer.out_features if isinstance(layer, nn.Linear) else layer.out_channels


def _summed_loss(model: nn.Module, images: Tensor, labels: Tensor) -> Tensor:
    parameter = next(model.parameters())
    images = images.to(parameter.device, parameter.dtype)
    if images.ndim == 4:
        # Channels last: the channels of a patch lie side by side, and depthwise products run over them.
        images = images.contiguous(memory_format=torch.channels_last)
    with torch.enable_grad():
        return F.cross_entropy(model(images), labels.to(parameter.device), reduction="sum")


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """The model's parameters without gradients, its batch norms as scales; both restored."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    norms = [one for one in model.modules() if type(one) in NORMS and one.running_mean is not None]
    try:
        model.requires_grad_(False)
        for norm in norms:
            vars(norm)["forward"] = partial(_scaled, norm)
        yield
    finally:
        for norm in norms:
            vars(norm).pop("forward", None)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _scaled(norm: nn.BatchNorm2d, inputs: Tensor) -> Tensor:
    """What batch normalisation is in evaluation: its own backward pass takes sums over the batch that nobody needs."""
    assert norm.running_mean is not None and norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    if norm.weight is not None:
        scale = scale * norm.weight
    shift = -norm.running_mean * scale
    if norm.bias is not None:
        shift = shift + norm.bias
    shape = (-1, *(1,) * (inputs.ndim - 2))
    return torch.addcmul(shift.reshape(shape), inputs, scale.reshape(shape))


def _refuse_shared_weights(measured: dict[str, Layer | Transposed]) -> None:
    owners: dict[int, str] = {}
    for name, layer in measured.items():
        owner = owners.setdefault(id(layer.weight), name)
        if owner != name:
            raise HqpError(f"layers '{owner}' and '{name}' share their weight", "a weight of its own for every layer")


class _Taps:
    """Hooks that put each layer's Σ_i ‖∂L_i/∂W_f‖² and Σ_i ⟨∂L_i/∂W_f, W_f⟩² into ``sums`` as the gradients pass by."""

    def __init__(self, measured: dict[str, Layer | Transposed]) -> None:
        self._measured = measured
        self.sums: dict[str, Tensor] = {}
        self._used: set[str] = set()
        self._hooks = ExitStack()

    def __enter__(self) -> _Taps:
        for name, layer in self._measured.items():
            self._hooks.enter_context(layer.register_forward_hook(partial(self._forward, name)))
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()

    def begin(self) -> None:
        """Starts a batch."""
        self._used.clear()
        self.sums = {}

    def refuse_unused(self) -> None:
        """Raises where a layer took no part in the forward pass: its weight may have been used behind its back."""
        for name in self._measured:
            if name not in self._used:
                raise HqpError(f"layer '{name}' took no part in the forward pass", "a model without unused layers")

    def _forward(self, name: str, layer: Layer | Transposed, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if name in self._used:
            raise HqpError(f"layer '{name}' is used twice in one forward pass", "a layer of its own for each use")
        self._used.add(name)
        # A first layer's output is a leaf here: gradients start at it, not at the image, which nobody asks about. The
        # clone is what later layers may overwrite in place.
        start = output if output.requires_grad else output.requires_grad_()
        seen = as_seen(name, layer, inputs[0].detach(), output)
        given = output.detach() if _by_gram(layer, output) else None
        start.register_hook(partial(self._backward, name, seen, seen._version, given, output._version))
        return start if output.grad_fn is not None else start.clone()

    @torch.no_grad()
    def _backward(
        self, name: str, seen: Tensor, seen_version: int, given: Tensor | None, given_version: int, delta: Tensor
    ) -> None:
        layer = self._measured[name]
        if seen._version != seen_version:
            raise HqpError(
                f"the input of layer '{name}' is overwritten in place", "inplace=False after a shared tensor"
            )
        if given is not None and given._version != given_version:  # by an activation in place
            given = kind_of(layer).forward(layer, seen)  # which calls no hook
        self.sums[name] = squared(layer, seen, given, delta).cpu()


def _by_gram(layer: Layer | Transposed, output: Tensor) -> bool:
    """Whether the Gram matrix is the cheaper route, in multiply-adds a sample: T² (d + C) for it against T d C."""
    if isinstance(layer, nn.Linear):
        positions, weights, filters = output[0].numel() // layer.out_features, layer.in_features, layer.out_features
    else:
        positions, weights = output[0, 0].numel(), layer.weight[0].numel()
        filters = layer.out_channels // layer.groups
        if not isinstance(layer, Convolution) or _is_depthwise(layer):
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
    products = (outputs * delta).reshape(len(delta), -1, _filters(layer)).sum(1)
    return products.square_().sum(0, dtype=torch.float64)


def _squares_by_gram(layer: Layer, inputs: Tensor, delta: Tensor) -> Tensor:
    """Σ_i ‖G_f‖² by the Gram matrix of the patches, (n, groups, T, T)."""
    if isinstance(layer, nn.Linear):
        by_group, parts = _tokens(layer, delta)[:, None], iter([_tokens(layer, inputs)[:, None]])
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
    sums = torch.zeros(2, _filters(layer), dtype=torch.float64, device=delta.device)
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
    return values.flatten(2).mT if isinstance(layer, Convolution) else values.reshape(len(values), -1, values.shape[-1])


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
