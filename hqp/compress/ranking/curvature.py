"""How the loss bends with the outputs of a layer: the Fisher information of these, summed over an image's positions."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.network.batches import FittingBatches
from hqp.compress.network.evaluation_mode import evaluating, most_at_once
from hqp.compress.ranking.sensitivity import frozen


def curvatures(
    model: nn.Module,
    names: Sequence[str],
    batches: Iterable[tuple[Tensor, Tensor]],
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Tensor]:
    """1/|D| Σ_i Σ_t δ_it δ_itᵀ of each named layer, float32 (filters, filters), δ the gradient of its outputs.

    ``batches`` are images and labels. The outputs' gradients tell how much the loss minds an error at one of them, and
    which errors of several add up.
    """
    sums: dict[str, Tensor] = {}
    seen, fitting = 0, FittingBatches(say, most_at_once(model))
    with evaluating(model), frozen(model):
        for images, labels in batches:
            for found in fitting.each(len(images), partial(_of_part, model, names, images, labels)):
                for name, values in found.items():
                    sums[name] = sums.get(name, 0) + values
            seen += len(images)
    return {name: values / seen for name, values in sums.items()}


def _of_part(model: nn.Module, names: Sequence[str], images: Tensor, labels: Tensor, part: slice) -> dict[str, Tensor]:
    """The sums over a part of a batch."""
    found: dict[str, Tensor] = {}

    def tap(name: str, layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> Tensor:
        if not torch.is_grad_enabled():  # within a checkpoint that does without a graph until backward
            return output
        # As in the sensitivity pass: the gradient of a first layer starts at its output, and later layers may overwrite
        # a clone of it in place.
        start = output if output.requires_grad else output.requires_grad_()
        start.register_hook(partial(add, name, layer))
        return start if output.grad_fn is not None else start.clone()

    def add(name: str, layer: nn.Module, delta: Tensor) -> None:
        rows = delta.detach().movedim(-1 if isinstance(layer, nn.Linear) else 1, -1).flatten(0, -2)
        # A layer that works in several places gets an error in all of them.
        found[name] = found.get(name, 0) + rows.T @ rows

    with ExitStack() as hooks, torch.enable_grad():
        for name in names:
            hooks.enter_context(model.get_submodule(name).register_forward_hook(partial(tap, name)))
        F.cross_entropy(model(images[part]), labels[part], reduction="sum").backward()
    return found
