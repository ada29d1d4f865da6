"""After blocks are gone every layer behind them is fitted anew, one after the other, on what now reaches it.

*One forward pass.* All images go through the network at once, and as each layer has given its outputs, it gets the
weights and the bias that minimise Σ ‖y - (W' x' + b')‖² + λ ‖W' - W‖², where x' are the patches that it sees, behind
layers that have been fitted already, and y what the trained network's layer gave for the same images. So no error that
can be mended is handed on. Source of the idea: the sequential reconstruction of J.-H. Luo et al., "ThiNet", arXiv
1707.06342 (2017).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from hqp.compress.blocks import standing_in
from hqp.compress.channels import recover
from hqp.compress.channels.patches import as_seen, output_rows, rows
from hqp.compress.network.layers import layers
from hqp.records import Replaced

# Output positions of an image that are used, of each layer.
POSITIONS = 16

# The largest feature map of all images together; as a rule three or four are alive at once.
MOST_BYTES = 400e6

# Ridges that are tried, and of how many images one is held out to judge them.
RIDGES = (1e-3, 1e-2, 1e-1)
HELD_OUT = 4

# Errors below are float32's: before the first block that is gone nothing changes.
EXACT = 1e-5

Hook = Callable[[str, Any, tuple[Tensor, ...], Tensor], Tensor | None]


def most_images(model: nn.Module, example: Tensor) -> int:
    """How many images may go through the network at once."""
    largest = 1

    def note(name: str, layer: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal largest
        largest = max(largest, output[0].numel() * output.element_size())

    with _hooked(model, layers(model), note), torch.no_grad():
        model(example)
    return max(1, int(MOST_BYTES / largest))


@torch.no_grad()
def wanted(model: nn.Module, blocks: Sequence[Replaced], batches: Iterable[Tensor]) -> dict[str, Tensor]:
    """What the trained model's layers and gates give at some positions of these images, a row each, by name."""
    gates = [block.name for block in blocks if block.kind == "gate"]
    found: dict[str, list[Tensor]] = {}

    def note(name: str, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        found.setdefault(name, []).append(output_rows(module, output, POSITIONS))

    with _hooked(model, [*recover.fitted(model, layers(model)), *gates], note):
        for images in batches:
            model(images)
    return {name: torch.cat(parts) for name, parts in found.items()}


@torch.no_grad()
def refit(simpler: nn.Module, outputs: dict[str, Tensor], images: Tensor) -> None:
    """Fits, in place, the layers and the gates' stand-ins of a network, in evaluation mode, to ``outputs``.

    These are what ``wanted`` gave for the same images. A layer without a bias gets one.
    """
    still_there = dict(simpler.named_modules())

    def fit(name: str, module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor | None:
        aim = outputs[name]
        if isinstance(module, nn.BatchNorm2d):
            standing_in.fit(module, output_rows(module, inputs[0], POSITIONS), aim)
        elif not _fit_layer(name, module, inputs[0], output, aim):
            return None
        result: Tensor = module.forward(inputs[0])
        return result

    with _hooked(simpler, [name for name in outputs if name in still_there], fit):
        simpler(images)


def _fit_layer(name: str, layer: Any, inputs: Tensor, output: Tensor, aim: Tensor) -> bool:
    """Fits a layer, in place, where it is off; whether it was."""
    missing = aim - output_rows(layer, output, POSITIONS)
    if missing.abs().max() <= EXACT * aim.abs().max():
        return False
    seen = rows(layer, as_seen(name, layer, inputs, output), POSITIONS).float()
    with_ones = torch.nn.functional.pad(seen, (0, 1), value=1.0)
    found = _change(with_ones, missing, len(inputs))
    if found is None:
        return False
    change = found.to(layer.weight.dtype).T
    layer.weight += change[:, :-1].reshape(layer.weight.shape)
    before = 0 if layer.bias is None else layer.bias
    layer.bias = nn.Parameter(before + change[:, -1])
    return True


def _change(seen: Tensor, missing: Tensor, images: int) -> Tensor | None:
    """The change of a layer's weights and biases (d + 1, filters); ``None`` where one helps no image but those fitted.

    Of several ridges the one is taken whose fit to most of the images is nearest on the others: late layers have more
    weights to a filter than there are positions.
    """
    last_fitted = (len(seen) // images) * (images - images // HELD_OUT)
    fitted = _solver(seen[:last_fitted], missing[:last_fitted])
    others, wanted = seen[last_fitted:], missing[last_fitted:]

    def left(ridge: float) -> float:
        return float((wanted - others @ fitted(ridge)).square().sum())

    errors = {ridge: left(ridge) for ridge in RIDGES}
    best = min(errors, key=errors.__getitem__)
    return _solver(seen, missing)(best) if errors[best] < float(wanted.square().sum()) else None


def _solver(seen: Tensor, missing: Tensor) -> Callable[[float], Tensor]:
    """What gives the change of weights and biases, float32 (d + 1, filters), for a ridge.

    The linear system is of as many unknowns as there are weights to a filter, or rows where these are fewer.
    """
    if len(seen) < seen.shape[1]:
        return _solver_by_rows(seen, missing)
    square, cross = (seen.T @ seen).double(), (seen.T @ missing).double()
    return lambda ridge: recover.solved(square, cross, ridge).to(seen.dtype)


def _solver_by_rows(seen: Tensor, missing: Tensor) -> Callable[[float], Tensor]:
    """As ``_solver``, from the dual: with X and Y centred, since the bias is free, W = Xᵀ (X Xᵀ + λI)⁻¹ Y."""
    inputs = seen[:, :-1]
    mean_input, mean_missing = inputs.mean(0), missing.mean(0)
    centred, outputs = inputs - mean_input, (missing - mean_missing).double()
    square = (centred @ centred.T).double()
    # The mean of the Gram matrix's diagonal, of which the ridge is a share.
    mean_square = (inputs.square().sum() / inputs.shape[1]).double()

    def solved(ridge: float) -> Tensor:
        penalised = square.clone()
        penalised.diagonal().add_(ridge * mean_square.clamp(min=torch.finfo(torch.float64).tiny))
        by_row = torch.cholesky_solve(outputs, torch.linalg.cholesky(penalised))
        weights = centred.T @ by_row.to(seen.dtype)
        bias = mean_missing - mean_input @ weights
        return torch.cat([weights, bias[None]])

    return solved


def _hooked(model: nn.Module, names: Iterable[str], hook: Hook) -> ExitStack:
    """While it is open, ``hook`` is called with the name of each of these modules behind its forward pass."""
    hooks = ExitStack()
    for name in names:
        hooks.enter_context(model.get_submodule(name).register_forward_hook(partial(hook, name)))
    return hooks
