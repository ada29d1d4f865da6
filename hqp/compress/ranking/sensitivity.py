"""The sensitivities of every filter, exact per sample, at about the cost of one forward and backward pass.

Fisher: S_f = 1/|D| Σ_i ‖∂L_i/∂W_f‖², the squared gradient of each sample, averaged; squaring the gradient of a batch is
another, wrong number. Source: D. Gopalan, R. Ali, arXiv 2602.06069 (2026).

Fisher OBD: 1/|D| Σ_i ⟨∂L_i/∂W_f, W_f⟩², with the Fisher information for the curvature twice the loss that removing the
filter costs. Source: L. Theis et al., "Faster gaze prediction with dense networks and Fisher pruning", arXiv 1801.05787
(2018); Y. LeCun et al., "Optimal Brain Damage" (1989).

One backward pass of the summed losses carries the gradient δ of every sample's loss to every layer's output, since in
evaluation mode no sample sees another; filter_gradients.py makes the sums of it. The gradient of the weights over the
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

from hqp.compress.channels.patches import as_seen
from hqp.compress.network import layout
from hqp.compress.network.batches import FittingBatches, lacks_memory
from hqp.compress.network.contract import FORWARD_ERRORS
from hqp.compress.network.evaluation_mode import evaluating, most_at_once
from hqp.compress.network.layers import Layer, Transposed, layers
from hqp.compress.network.plain import kind_of
from hqp.compress.network.usage import usage
from hqp.compress.ranking.collect import Sensitivities
from hqp.compress.ranking.filter_gradients import by_gram, filters, squared
from hqp.errors import HqpError

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
    weights count, not biases. Layers whose weights work in several places, or in none, have no sensitivity: the
    gradient at one place is not that of the weights. The model's modes and flags are restored. A batch that memory does
    not hold is halved, which ``say`` is told.

    Raises:
        HqpError: there is no image; S of a layer is not finite; a layer's gradient cannot be had exactly, since its
            input is overwritten, or the gradient ends behind it.
    """
    first, batches = _first(model, batches)
    once = usage(model, first).once
    measured = {name: layer for name, layer in measured_layers(model).items() if name in once}
    sums = {name: torch.zeros(2, filters(layer), dtype=torch.float64) for name, layer in measured.items()}
    images_seen = 0
    reached: set[str] = set()
    fitting = FittingBatches(say, most_at_once(model))
    order = layout.fitted(model, first)
    with evaluating(model), frozen(model), _Taps(measured) as taps:
        for images, labels in batches:
            # Channels last: the channels of a patch lie side by side, and depthwise products run over them.
            laid_out = _like(model, images).contiguous(memory_format=order)
            work = partial(_measured, model, taps, laid_out, labels)
            for found in fitting.each(len(images), work):
                reached |= found.keys()
                for name, values in found.items():
                    sums[name] += values
            images_seen += len(images)
    _refuse_cut_gradients(model, first, [name for name in measured if name not in reached])
    _require_finite(sums)
    means = {name: values / images_seen for name, values in sums.items()}
    return Sensitivities(
        fisher={name: values[0] for name, values in means.items()},
        fisher_obd={name: values[1] for name, values in means.items()},
    )


def _require_finite(sums: dict[str, Tensor]) -> None:
    for name, values in sums.items():
        if not torch.isfinite(values).all():
            wrong = f"the sensitivity of layer '{name}' is not finite"
            raise HqpError(wrong, "weights and images without NaN or infinity")


def _measured(model: nn.Module, taps: _Taps, images: Tensor, labels: Tensor, part: slice) -> dict[str, Tensor]:
    """The sums of a part of a batch."""
    taps.begin()
    try:
        with torch.enable_grad():
            loss = F.cross_entropy(model(images[part]), labels[part].to(images.device), reduction="sum")
    except FORWARD_ERRORS as error:
        if lacks_memory(error):
            raise
        raise _without_gradients(str(error).partition("\n")[0]) from error
    taps.turn()
    if not loss.requires_grad:
        raise _without_gradients("the loss depends on no layer")
    loss.backward()
    return taps.sums


def _without_gradients(reason: str) -> HqpError:
    return HqpError(
        f"the network gives no gradients, which sensitivities are made of: {reason}",
        "a forward pass without no_grad, detach and numpy",
    )


def _first(model: nn.Module, batches: Batches) -> tuple[Tensor, Batches]:
    """The first image of the first batch, and all batches."""
    remaining = iter(batches)
    first = next(remaining, None)
    if first is None:
        raise HqpError("no image to measure sensitivity on", "a calibration split with at least one image")
    return _like(model, first[0][:1]), itertools.chain([first], remaining)


def _like(model: nn.Module, images: Tensor) -> Tensor:
    """The images where the model's weights are, and in their precision."""
    parameter = next(model.parameters())
    return images.to(parameter.device, parameter.dtype)


@torch.no_grad()
def _refuse_cut_gradients(model: nn.Module, image: Tensor, unreached: list[str]) -> None:
    """Refuses a layer that no gradient came to, though the logits depend on it: its sensitivity would read 0."""
    for name in unreached:
        with evaluating(model):
            before = model(image)
            disturb = lambda layer, inputs, output: output + output.abs().mean() + 1  # noqa: E731
            with model.get_submodule(name).register_forward_hook(disturb):
                after = model(image)
        if not torch.equal(before, after):
            raise _without_gradients(f"they end between layer '{name}' and the logits")


def measured_layers(model: nn.Module) -> dict[str, Layer | Transposed]:
    """The layers that have filters, by qualified name: those that can be pruned, and transposed convolutions."""
    transposed = {name: module for name, module in model.named_modules() if isinstance(module, Transposed)}
    return {**layers(model), **transposed}


@contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """Inside, the parameters take no gradients and batch norms only scale; both are restored afterwards."""
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    # A norm without running statistics normalises by the batch, in evaluation too: it is no scale.
    norms = [module for module in model.modules() if type(module) in NORMS and module.running_mean is not None]
    try:
        model.requires_grad_(False)
        for norm in norms:
            # An attribute of the instance comes before the method of its class.
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


class _Taps:
    """Hooks that put each layer's Σ_i ‖∂L_i/∂W_f‖² and Σ_i ⟨∂L_i/∂W_f, W_f⟩² into ``sums`` as the gradients pass by."""

    def __init__(self, measured: dict[str, Layer | Transposed]) -> None:
        self._measured = measured
        self.sums: dict[str, Tensor] = {}
        self._tapped: set[str] = set()
        self._backwards = False
        self._hooks = ExitStack()

    def __enter__(self) -> _Taps:
        for name, layer in self._measured.items():
            self._hooks.enter_context(layer.register_forward_hook(partial(self._forward, name)))
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.close()

    def begin(self) -> None:
        """Starts a batch."""
        self._tapped.clear()
        self._backwards = False
        self.sums = {}

    def turn(self) -> None:
        """Says that the forward pass is over: from now on layers are only computed again, by checkpoints."""
        self._backwards = True

    def _forward(self, name: str, layer: Layer | Transposed, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if not torch.is_grad_enabled():  # within a checkpoint that does without a graph until backward
            return output
        # A first layer's output is a leaf here: gradients start at it, not at the image, which nobody asks about. The
        # clone is what later layers may overwrite in place.
        start = output if output.requires_grad else output.requires_grad_()
        if name not in self._tapped:
            self._tapped.add(name)
            seen = as_seen(name, layer, inputs[0].detach())
            given = output.detach() if by_gram(layer, output) else None
            start.register_hook(partial(self._backward, name, seen, seen._version, given, output._version))
        elif not self._backwards:
            wrong = f"layer '{name}' is called more often for some images"
            raise HqpError(wrong, "a model without branches on its data")
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
