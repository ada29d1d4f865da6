"""After blocks or channels are gone every layer is fitted anew, one after the other, on what now reaches it.

*One forward pass.* All images go through the network at once, and as they reach a layer, it gets the weights and the
bias that minimise Σ ‖y - (W' x' + b')‖² + λ ‖W' - W‖². Here x' are the patches that it sees, behind layers that have
been fitted already, and y what the filters that it still has gave for the same images before anything was gone. So no
error that can be mended is handed on. Source of the idea: the sequential reconstruction of J.-H. Luo et al., "ThiNet",
arXiv 1707.06342 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hqp.compress.blocks import standing_in
from hqp.compress.channels import recover
from hqp.compress.channels.groups import Removed
from hqp.compress.channels.patches import as_seen, output_rows, rows
from hqp.compress.channels.shrinking import kept
from hqp.compress.network import allocation
from hqp.compress.network.layers import layers
from hqp.records import Replaced

# Output positions of an image that are used, of each layer, where there are as many images as are asked for.
POSITIONS = 16

# The largest feature map of all images together; as a rule three or four are alive at once.
MOST_BYTES = 400e6

# λ is this share of the inputs' mean square. A third of it or three times as much changes top-1 by 0.3 points at most,
# and so does the one of these that is best on images held out.
RIDGE = 3e-2

# Of how many images one is held out to see whether a fit helps.
HELD_OUT = 4

# Errors below are float32's: before the first block that is gone nothing changes.
EXACT = 1e-5

Hook = Callable[[str, Any, tuple[Tensor, ...], Tensor], None]

# Gives a change of weights and biases, float32 (d + 1, filters).
Solve = Callable[[], Tensor]


@dataclass(frozen=True)
class Sampled:
    """What a network is fitted to: so many images, and so many output positions of each."""

    images: int
    positions: int


def sampled(model: nn.Module, example: Tensor, images: int) -> Sampled:
    """So many images, or as many as memory is meant to hold at once, and of fewer the more positions of each."""
    largest = 1

    def note(name: str, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, output[0].numel() * output.element_size())

    with _hooked(model, layers(model), note), torch.no_grad():
        model(example)
    at_once = min(images, max(1, int(MOST_BYTES / largest)))
    return Sampled(at_once, POSITIONS * images // at_once)


@torch.no_grad()
def wanted(
    model: nn.Module, blocks: Sequence[Replaced], batches: Iterable[Tensor], positions: int = POSITIONS
) -> dict[str, Tensor]:
    """What layers and gates of a network with all its parts give at so many positions of these images, a row each."""
    gates = [block.name for block in blocks if block.kind == "gate"]
    found: dict[str, list[Tensor]] = {}

    def note(name: str, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.setdefault(name, []).append(output_rows(module, output, positions))

    with _hooked(model, [*recover.fitted(model, layers(model)), *gates], note):
        for images in batches:
            model(images)
    return {name: torch.cat(parts) for name, parts in found.items()}


@torch.no_grad()
def refit(
    smaller: nn.Module, outputs: dict[str, Tensor], images: Tensor, removed: Removed, positions: int = POSITIONS
) -> None:
    """Fits, in place, the layers and the gates' stand-ins of a network, in evaluation mode, to ``outputs``.

    These are what ``wanted`` gave at these positions of the same images, and ``removed`` what ``groups.removed`` says
    is gone since. A layer without a bias gets one.
    """
    still_there = dict(smaller.named_modules())

    def fit(name: str, module: Any, inputs: tuple[Tensor, ...]) -> None:
        is_norm = isinstance(module, nn.BatchNorm2d)
        gone = removed.get((name, "norm" if is_norm else "filter"), frozenset())
        every = outputs[name]
        aim = every[:, kept(every.shape[1], gone)] if gone else every
        if is_norm:
            standing_in.fit(module, output_rows(module, inputs[0], positions), aim)
        else:
            _fit_layer(name, module, inputs[0], aim, positions)

    with allocation.kept(), ExitStack() as hooks:
        for name in outputs:
            if name in still_there:
                hooks.enter_context(still_there[name].register_forward_pre_hook(partial(fit, name)))
        smaller(images)


def _fit_layer(name: str, layer: Any, inputs: Tensor, aim: Tensor, positions: int) -> None:
    """Fits a layer, in place, where it is off."""
    seen = rows(layer, as_seen(name, layer, inputs), positions).float()
    # A layer that is called several times, or sees images along another axis, has no one target for what it sees.
    if len(seen) != len(aim):
        return
    missing = aim - torch.nn.functional.linear(seen, layer.weight.flatten(1), layer.bias)
    if missing.abs().max() <= EXACT * aim.abs().max():
        return
    with_ones = torch.nn.functional.pad(seen, (0, 1), value=1.0)
    found = _change(with_ones, missing, len(inputs))
    if found is None:
        return
    change = found.to(layer.weight.dtype).T
    layer.weight += change[:, :-1].reshape(layer.weight.shape)
    before = 0 if layer.bias is None else layer.bias
    layer.bias = nn.Parameter(before + change[:, -1])


def _change(seen: Tensor, missing: Tensor, images: int) -> Tensor | None:
    """The change of a layer's weights and biases (d + 1, filters); ``None`` where one helps no image but those fitted.

    That is seen of a fit to most of the images: late layers may have more weights to a filter than there are positions.
    """
    most = (len(seen) // images) * (images - images // HELD_OUT)
    # The linear system is of as many unknowns as there are weights to a filter, or rows where these are fewer.
    by_part = _by_rows if most < seen.shape[1] else _by_weights
    left, change = by_part(seen, missing, most)
    return change() if left.square().sum() < missing[most:].square().sum() else None


def _by_weights(seen: Tensor, missing: Tensor, most: int) -> tuple[Tensor, Solve]:
    """What a fit to most of the rows leaves missing of the others, and what solves for the change by all of them."""
    square = recover.gram(seen[:most])
    cross = seen[:most].T @ missing[:most]
    others, wanted = seen[most:], missing[most:]
    left = wanted - others @ recover.solved(square, cross, RIDGE)

    def solve() -> Tensor:
        # What the rows that are held out add: no product is computed twice.
        return recover.solved(square + recover.gram(others), cross + others.T @ wanted, RIDGE)

    return left, solve


def _by_rows(seen: Tensor, missing: Tensor, most: int) -> tuple[Tensor, Solve]:
    """As ``_by_weights``, from the dual, with one factorisation for both.

    With K = X Xᵀ + λI = L Lᵀ and Y the outputs, the change is Xᵀ K⁻¹ (Y - b), and b, which is free, makes the sum of
    K⁻¹ (Y - b) zero. The last block of L by the last rows of L⁻¹ Y is what a fit to the rows before leaves missing.
    """
    inputs = seen[:, :-1]
    # By the mean of the rows that are fitted first, whose bias is free too.
    mean_input, mean_missing = inputs[:most].mean(0), missing[:most].mean(0)
    centred = inputs - mean_input
    square = recover.gram(centred.T)
    # The mean of the Gram matrix's diagonal, of which the ridge is a share.
    mean_square = inputs.square().sum() / inputs.shape[1]
    ridge = RIDGE * mean_square.clamp(min=torch.finfo(square.dtype).tiny)
    square.diagonal().add_(ridge)
    root = torch.linalg.cholesky(square)
    # Behind the outputs a column of ones, for the bias.
    outputs = torch.nn.functional.pad(missing - mean_missing, (0, 1), value=1.0)
    explained = torch.linalg.solve_triangular(root, outputs, upper=False)
    left = torch.tril(root[most:, most:]) @ explained[most:, :-1]

    def solve() -> Tensor:
        by_row = torch.linalg.solve_triangular(root.T, explained, upper=True)
        of_outputs, of_ones = by_row[:, :-1], by_row[:, -1:]
        bias = of_outputs.sum(0) / of_ones.sum()
        weights = centred.T @ (of_outputs - of_ones * bias)
        # For inputs and outputs as they are, not less their means.
        uncentred_bias = bias + mean_missing - mean_input @ weights
        return torch.cat([weights, uncentred_bias[None]])

    return left, solve


def _hooked(model: nn.Module, names: Iterable[str], hook: Hook) -> ExitStack:
    """While it is open, ``hook`` is called with the name of each of these modules behind its forward pass."""
    hooks = ExitStack()
    for name in names:
        hooks.enter_context(model.get_submodule(name).register_forward_hook(partial(hook, name)))
    return hooks
