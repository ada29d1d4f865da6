"""Recovery without labels or epochs: layers that lost inputs are fitted anew to what the trained model's gave.

For each convolution and linear layer that lost inputs, in the order in which the network calls them, new weights W and
bias b minimise Σ ‖y - W x - b‖² + λ ‖W - W₀‖² over calibration images: x is what the layer sees now, patch by patch,
behind the layers that were already fitted; y is what the same layer of the trained model gives at the filters that are
left; W₀ are the weights as they are. The normal equations are streamed, batch by batch, and solved in float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# λ as a share of the inputs' mean square: enough where there are fewer patches than weights, next to nothing elsewhere.
RIDGE = 1e-3

# Output positions of an image that are used, drawn once: neighbours say nearly the same.
POSITIONS = 64

Batches = Callable[[], Iterable[Tensor]]


def refit(
    dense: nn.Module,
    pruned: nn.Module,
    kept: Mapping[str, Sequence[int]],
    lost_inputs: Sequence[str],
    batches: Batches,
    advance: Callable[[int], None] = lambda layers: None,
) -> None:
    """Fits, in place, the layers of ``pruned`` that lost inputs; both models are in evaluation mode.

    ``kept`` are the filters of each layer of ``dense`` that ``pruned`` still has. ``batches()`` gives the same images,
    float32 (n, 3, size, size), each time. Grouped convolutions keep their weights: with an input they lose its filter.
    ``advance(1)`` follows each layer.
    """
    for name in _called(pruned, lost_inputs, batches):
        layer = pruned.get_submodule(name)
        equations = _Equations.of(layer)
        for images in batches():
            target = _reach(dense, name, images, output=True)
            axis = 1 if isinstance(layer, nn.Conv2d) else target.ndim - 1
            target = target.index_select(axis, torch.tensor(kept[name]))
            equations.add(layer, _reach(pruned, name, images, output=False), target)
        equations.solve(layer)
        advance(1)


def fitted(model: nn.Module, names: Iterable[str]) -> list[str]:
    """Those of the named layers that are fitted: ordinary convolutions and linear layers."""
    layers = ((name, model.get_submodule(name)) for name in names)
    return [name for name, layer in layers if isinstance(layer, nn.Linear) or _is_ordinary(layer)]


def _is_ordinary(layer: Any) -> bool:
    return isinstance(layer, nn.Conv2d) and layer.groups == 1 and not isinstance(layer.padding, str)


def make_room(model: nn.Module, names: Iterable[str]) -> None:
    """Gives those layers the bias that fitting gave them, so that fitted weights can be read into the model."""
    for name in names:
        layer: Any = model.get_submodule(name)
        if layer.bias is None:
            layer.bias = nn.Parameter(torch.zeros(len(layer.weight), dtype=layer.weight.dtype))


class _Reached(Exception):
    """Ends a forward pass at the layer that was waited for."""


@torch.no_grad()
def _reach(model: nn.Module, name: str, images: Tensor, *, output: bool) -> Tensor:
    """What a layer is given, or gives, on these images; the pass ends there."""
    seen: list[Tensor] = []

    def stop(*parts: Any) -> None:
        seen.append(parts[2] if output else parts[1][0])
        raise _Reached

    layer = model.get_submodule(name)
    hook = layer.register_forward_hook(stop) if output else layer.register_forward_pre_hook(stop)
    try:
        with suppress(_Reached):
            model(images)
    finally:
        hook.remove()
    return seen[0]


@torch.no_grad()
def _called(model: nn.Module, names: Sequence[str], batches: Batches) -> list[str]:
    """The layers in the order in which the model calls them first."""
    order: dict[str, None] = {}
    hooks = [
        model.get_submodule(name).register_forward_pre_hook(lambda *_, name=name: order.setdefault(name))
        for name in fitted(model, names)
    ]
    try:
        model(next(iter(batches()))[:1])
    finally:
        for hook in hooks:
            hook.remove()
    return list(order)


@dataclass
class _Equations:
    """The normal equations of one layer: XᵀX and Xᵀ(Y - X W₀ᵀ), a column of ones behind X, in float64."""

    gram: Tensor
    moment: Tensor

    @classmethod
    def of(cls, layer: Any) -> _Equations:
        width = layer.weight[0].numel() + 1
        return cls(
            torch.zeros(width, width, dtype=torch.float64),
            torch.zeros(width, len(layer.weight), dtype=torch.float64),
        )

    def add(self, layer: Any, inputs: Tensor, target: Tensor) -> None:
        """Takes in a batch: the layer's inputs, and what it should give."""
        patches, wanted = _rows(layer, inputs, target)
        patches = F.pad(patches.double(), (0, 1), value=1.0)
        weights = layer.weight.detach().flatten(1).double()
        bias = layer.bias.detach().double() if layer.bias is not None else torch.zeros(len(weights)).double()
        missing = wanted.double() - patches @ torch.cat([weights, bias[:, None]], 1).T
        self.gram += patches.T @ patches
        self.moment += patches.T @ missing

    def solve(self, layer: Any) -> None:
        """Puts the weights and the bias that are least wrong into the layer."""
        ridge = RIDGE * self.gram.diagonal()[:-1].mean().clamp(min=torch.finfo(torch.float64).tiny)
        damping = torch.full((len(self.gram),), float(ridge), dtype=torch.float64)
        damping[-1] = 0.0  # the bias is free
        change = torch.linalg.solve(self.gram + torch.diag(damping), self.moment).T
        layer.weight.data += change[:, :-1].reshape(layer.weight.shape).to(layer.weight.dtype)
        bias = change[:, -1].to(layer.weight.dtype)
        layer.bias = nn.Parameter(bias if layer.bias is None else layer.bias.detach() + bias)


def _rows(layer: Any, inputs: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Patches (n, weights of a filter) and what the filters should give (n, filters), a row to a position."""
    if isinstance(layer, nn.Linear):
        return inputs.reshape(-1, inputs.shape[-1]), target.reshape(-1, target.shape[-1])
    if layer.padding_mode != "zeros":
        inputs = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=layer.padding_mode)
    padding = layer.padding if layer.padding_mode == "zeros" else 0
    patches = F.unfold(inputs, layer.kernel_size, layer.dilation, padding, layer.stride)
    chosen = _positions(patches.shape[-1])
    rows = patches[:, :, chosen].transpose(1, 2).flatten(0, 1)
    return rows, target.flatten(2)[:, :, chosen].transpose(1, 2).flatten(0, 1)


def _positions(count: int) -> Tensor:
    """The positions that are used, a function of their number alone."""
    if count <= POSITIONS:
        return torch.arange(count)
    return torch.randperm(count, generator=torch.Generator().manual_seed(count))[:POSITIONS].sort().values
