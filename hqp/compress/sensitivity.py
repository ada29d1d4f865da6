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

from hqp.compress.memory import Parts
from hqp.compress.patches import patches
from hqp.compress.statistics import Convolution, Layer, Sensitivities, Transposed, layers
from hqp.errors import HqpError

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
    with _frozen(model), _Taps(measured) as taps:
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
    """The model in evaluation mode, its parameters without gradients; both restored."""
    modes = [(module, module.training) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        model.eval().requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


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
        seen = inputs[0].detach()
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
            given = layer.forward(seen)  # which calls no hook
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
    parts: Iterable[tuple[Tensor, Tensor]]
    if isinstance(layer, nn.Linear):
        parts = [(inputs.reshape(len(inputs), 1, -1, layer.in_features), layer.weight.mT[None])]
        by_group = delta.reshape(len(delta), 1, -1, layer.out_features)
    elif not isinstance(layer, Convolution):
        return _transposed(layer, inputs, delta)
    elif _is_depthwise(layer):
        return _depthwise(layer, patches(layer, inputs), delta)
    else:
        parts = _kernel_rows(layer, patches(layer, inputs))
        by_group = delta.unflatten(1, (layer.groups, -1)).flatten(3).mT
    if outputs is None:
        return _by_gradients(parts, by_group)
    fisher = _squares_by_gram((part for part, _ in parts), by_group)
    return torch.stack([fisher, _squared_products(layer, outputs, delta)])


def _squared_products(layer: Layer, outputs: Tensor, delta: Tensor) -> Tensor:
    """Σ_i ⟨∂L_i/∂W_f, W_f⟩² from what the layer gives without its bias."""
    axis = delta.ndim - 1 if isinstance(layer, nn.Linear) else 1
    outputs, delta = outputs.movedim(axis, -1), delta.movedim(axis, -1)
    if layer.bias is not None:
        outputs = outputs - layer.bias
    products = (outputs * delta).reshape(len(delta), -1, _filters(layer)).sum(1)
    return products.square_().sum(0, dtype=torch.float64)


def _kernel_rows(layer: Convolution, view: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Patches by convolution group, (n, groups, T, part of d), and weights (groups, part of d, C), a kernel row each.

    Squared norms, products and Gram matrices are sums over weights, so the parts add up; whole patches would take k²
    times the memory of the activations.
    """
    kernel = view.shape[view.ndim // 2 + 1 :]
    for offset in itertools.product(*map(range, kernel[:-1])):
        row = view[(..., *offset, slice(None))].movedim(1, -1).flatten(1, -3)
        weights = layer.weight[(slice(None), slice(None), *offset)].unflatten(0, (layer.groups, -1))
        yield row.unflatten(-1, (layer.groups, -1)).movedim(3, 1).flatten(3), weights.permute(0, 3, 2, 1).flatten(1, 2)


def _squares_by_gram(parts: Iterable[Tensor], delta: Tensor) -> Tensor:
    """Σ_i ‖G_f‖² for patches (n, groups, T, part of d) and gradients (n, groups, T, C) by the Gram matrix."""
    gram = torch.stack([part @ part.mT for part in parts]).sum(0)
    return ((gram @ delta) * delta).sum((0, 2), dtype=torch.float64).flatten()


def _by_gradients(parts: Iterable[tuple[Tensor, Tensor]], delta: Tensor) -> Tensor:
    """Both sums, (2, out_channels), by the gradients of each sample themselves, a part of the weights at a time."""
    fisher, products = torch.zeros((), dtype=torch.float64), torch.zeros(())
    for part, weights in parts:
        gradients = part.mT @ delta
        products = products + torch.einsum("ngdc,gdc->ngc", gradients, weights)
        fisher = fisher + gradients.square_().sum((0, 2), dtype=torch.float64)
    return torch.stack([fisher.flatten(), products.square().sum(0, dtype=torch.float64).flatten()])


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


def _transposed(layer: Transposed, inputs: Tensor, delta: Tensor) -> Tensor:
    """Both sums, (2, out_channels), of a transposed convolution: inputs and gradients change places."""
    view = patches(layer, delta)
    seen = inputs.flatten(2).unflatten(1, (layer.groups, -1))
    fisher, products = torch.zeros((), dtype=torch.float64), torch.zeros(())
    for offset in itertools.product(*map(range, layer.kernel_size)):
        spread = view[(..., *offset)].flatten(2).unflatten(1, (layer.groups, -1))
        gradients = spread @ seen.mT
        weights = layer.weight[(slice(None), slice(None), *offset)].unflatten(0, (layer.groups, -1))
        products = products + torch.einsum("ngoi,gio->ngo", gradients, weights)
        fisher = fisher + gradients.square_().sum((0, 3), dtype=torch.float64)
    return torch.stack([fisher.flatten(), products.square().sum(0, dtype=torch.float64).flatten()])
