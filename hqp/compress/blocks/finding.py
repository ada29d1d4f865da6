"""Finding blocks that something simpler may stand in for, by what they do to images: no class is known by name.

A *gate* scales each channel of its input by one number for an image, as squeeze-and-excitation does. A *residual block*
adds its input to what its layers make of it. Both take one tensor and give one of the same shape.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from hqp.compress.network.evaluation_mode import evaluating
from hqp.compress.network.layers import layers
from hqp.compress.network.usage import usage
from hqp.records import Replaced

# The scale of a gate is one number for all positions: by so much, of the largest, it may seem to differ in float32.
SAME = 1e-3

ADDITIONS = (torch.ops.aten.add.Tensor, torch.ops.aten.add_.Tensor)


@torch.no_grad()
def find_blocks(model: nn.Module, images: Tensor) -> tuple[Replaced, ...]:
    """The gates and residual blocks of a model in the order in which it calls them; ``images`` are a batch of it.

    A block that is called more than once, or shares weights with another module, is none. One gate may lie within a
    residual block; of gates within each other, and of blocks, the innermost is meant.

    Raises:
        HqpError: the model cannot take the images.
    """
    used = usage(model, images)
    whole = {name for name in used.once if _has_inner_layers(model.get_submodule(name))}
    shared = {name.rpartition(".")[0] for name in (*used.again, *used.shared)}
    watch = _Watch(model, {name for name in whole if not _holds_any(name, shared)})
    with evaluating(model), watch.hooked(), watch:
        model(images)
    return watch.innermost()


def _has_inner_layers(module: nn.Module) -> bool:
    return any(name for name in layers(module))


def _holds_any(name: str, parents: set[str]) -> bool:
    return any(parent == name or parent.startswith(f"{name}.") for parent in parents)


def within(inner: str, outer: str) -> bool:
    """Whether a module lies in another, by their names."""
    return inner.startswith(f"{outer}.")


@dataclass(frozen=True)
class _Running:
    name: str
    taken: Tensor
    # What the input was, since code may change it in place.
    before: Tensor


class _Watch(TorchDispatchMode):
    """Notes which modules scale their input, and which add it to something."""

    def __init__(self, model: nn.Module, names: set[str]) -> None:
        super().__init__()
        self._model, self._names = model, names
        self._running: list[_Running] = []
        self._adding: set[str] = set()
        self.found: list[Replaced] = []

    def hooked(self) -> ExitStack:
        """While it is open, calls are noted."""
        hooks = ExitStack()
        for name, module in self._model.named_modules():
            if name in self._names:
                hooks.enter_context(module.register_forward_pre_hook(partial(self._enter, name)))
                hooks.enter_context(module.register_forward_hook(partial(self._leave, name)))
        return hooks

    def _enter(self, name: str, module: nn.Module, inputs: tuple[Any, ...]) -> None:
        if len(inputs) == 1 and _is_map(inputs[0]):
            self._running.append(_Running(name, inputs[0], inputs[0].clone()))

    def _leave(self, name: str, module: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        if not self._running or self._running[-1].name != name:
            return
        running = self._running.pop()
        if not _is_map(output) or output.shape != running.before.shape:
            return
        channels = output.shape[1]
        if _is_gated(running.before, output):
            self.found.append(Replaced(name, "gate", channels))
        elif name in self._adding:
            self.found.append(Replaced(name, "residual", channels))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in ADDITIONS:
            added = {id(value) for value in tree_leaves(args) if isinstance(value, Tensor)}
            self._adding.update(running.name for running in self._running if id(running.taken) in added)
        return func(*args, **(kwargs or {}))

    def innermost(self) -> tuple[Replaced, ...]:
        """Those found of which none of the same kind lies within."""
        innermost = []
        for block in self.found:
            alike = [other.name for other in self.found if other.kind == block.kind]
            if not any(within(other, block.name) for other in alike):
                innermost.append(block)
        return tuple(innermost)


def _is_map(value: Any) -> bool:
    """Whether it is a batch of feature maps of more than one position."""
    return isinstance(value, Tensor) and value.ndim == 4 and value.shape[2] * value.shape[3] > 1


def _is_gated(before: Tensor, after: Tensor) -> bool:
    """Whether each channel of each image is scaled by one number; it is the ratio of sums, where the input is not 0."""
    energy = before.square().sum((2, 3), keepdim=True)
    scale = (before * after).sum((2, 3), keepdim=True) / energy.clamp(min=torch.finfo(energy.dtype).tiny)
    return bool((after - scale * before).abs().max() <= SAME * after.abs().max())
