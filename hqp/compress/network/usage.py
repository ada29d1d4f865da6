"""How a forward pass uses a network's layers: once each, or again, or their weights elsewhere too, or not at all."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakIdKeyDictionary

from hqp.compress.network.batches import FittingBatches
from hqp.compress.network.contract import FORWARD_ERRORS
from hqp.compress.network.evaluation_mode import evaluating
from hqp.compress.network.layers import Layer, Transposed
from hqp.errors import HqpError


@dataclass(frozen=True)
class Usage:
    """What one forward pass in evaluation mode did with the layers, by qualified name.

    ``last`` is the convolution or linear layer that was called last, which gives a classifier's logits. ``again`` are
    the layers that were called so many times, more than once; a batch normalisation may be. ``shared`` are those whose
    weights other code uses as well, each with what is the matter. The gradient at one call of any of these is not that
    of their weights. ``once`` are the modules that were called once, and are not among these. ``unused`` are the
    outermost modules with layers in them of which nothing ran.
    """

    last: str
    once: frozenset[str]
    again: Mapping[str, int]
    shared: Mapping[str, str]
    unused: tuple[str, ...]


@torch.no_grad()
def usage(model: nn.Module, example: Tensor) -> Usage:
    """What a forward pass of the first image of ``example``, a batch of the model's input, does with its layers.

    Raises:
        HqpError: the model cannot take it, or calls no convolution and no linear layer, or memory does not hold it.
    """
    watch = _Watch(model)
    like = next(model.parameters(), example)
    image = example[:1].to(like.device, like.dtype).contiguous()
    try:
        with evaluating(model), watch.hooked(), watch:
            FittingBatches().each(1, lambda part: model(image[part]))
    except FORWARD_ERRORS as error:
        raise untraceable(error) from error
    if watch.last is None:
        raise HqpError("the model has no convolution and no linear layer", "a convolutional network")
    shared = {**watch.borrowed(), **_sharing(model)}
    called_once = frozenset(name for name, calls in watch.calls.items() if calls == 1)
    return Usage(
        last=watch.last,
        once=called_once - shared.keys(),
        again=watch.called_again(),
        shared=shared,
        unused=tuple(_unused(model, watch)),
    )


def untraceable(error: Exception) -> HqpError:
    """What to say of a model whose forward pass raises this."""
    reason = str(error).partition("\n")[0] or type(error).__name__
    return HqpError(f"the model cannot be traced: {reason}", "a module that maps a batch of images to logits")


@torch.no_grad()
def leave_out_unused(model: nn.Module, input_size: int) -> tuple[str, ...]:
    """Takes the modules that no forward pass reaches out of a model in evaluation mode, in place; gives their names.

    Training alone uses them: the auxiliary heads of an Inception, say. Where the code still asks for one of them, they
    all stay.

    Raises:
        HqpError: the model cannot take an image of ``input_size`` pixels.
    """
    parameter = next(model.parameters())
    example = torch.zeros(1, 3, input_size, input_size, dtype=parameter.dtype, device=parameter.device)
    names = usage(model, example).unused
    before = model(example)
    modules = {name: model.get_submodule(name) for name in names}
    for name in names:
        _put(model, name, nn.Identity())
    try:
        same = torch.equal(model(example), before)
    except FORWARD_ERRORS:
        same = False
    if same:
        return names
    for name, module in modules.items():
        _put(model, name, module)
    return ()


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, own = name.rpartition(".")
    setattr(model.get_submodule(parent), own, module)


class _Watch(TorchDispatchMode):
    """Notes which modules are called, and whose parameters and buffers operations take."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self._model = model
        self.calls: Counter[str] = Counter()
        self._running: list[str] = []
        self._owners: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self.last: str | None = None
        self.taken: set[str] = set()  # modules that were called, or whose tensors were used
        self._outside: set[str] = set()  # modules whose tensors were used while they were not running
        for name, module in model.named_modules():
            for values in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                self._owners.setdefault(values, []).append(name)

    def hooked(self) -> ExitStack:
        """While it is open, calls are noted."""
        hooks = ExitStack()
        for name, module in self._model.named_modules():
            hooks.enter_context(module.register_forward_pre_hook(partial(self._enter, name)))
            hooks.enter_context(module.register_forward_hook(self._leave))
        return hooks

    def _enter(self, name: str, module: nn.Module, inputs: Any) -> None:
        self._running.append(name)
        self.calls[name] += 1
        self.taken.add(name)
        if isinstance(module, Layer):
            self.last = name

    def _leave(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._running.pop()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        for value in tree_leaves((args, kwargs)):
            owners = self._owners.get(value, ()) if isinstance(value, Tensor) else ()
            self.taken.update(owners)
            if not set(owners) & set(self._running):
                self._outside.update(owners)
        return func(*args, **kwargs)

    def called_again(self) -> dict[str, int]:
        """The layers that were called more than once, and how often."""
        found = {}
        for name, calls in self.calls.items():
            if calls > 1 and isinstance(self._model.get_submodule(name), Layer | Transposed):
                found[name] = calls
        return found

    def borrowed(self) -> dict[str, str]:
        """The layers whose weights other code uses."""
        layers = (name for name in self._outside if _has_weights(self._model.get_submodule(name)))
        return dict.fromkeys(layers, "has its weights used outside of it")


def _has_weights(module: nn.Module) -> bool:
    return isinstance(module, Layer | Transposed | _BatchNorm)


def _sharing(model: nn.Module) -> dict[str, str]:
    """The layers that have a parameter in common with another."""
    owners: defaultdict[int, list[str]] = defaultdict(list)
    for name, module in model.named_modules():
        if _has_weights(module):
            for parameter in module.parameters(recurse=False):
                owners[id(parameter)].append(name)
    shared = {}
    for names in owners.values():
        for name in names:
            others = [other for other in names if other != name]
            if others:
                shared[name] = f"shares its weights with '{others[0]}'"
    return shared


def _unused(model: nn.Module, watch: _Watch) -> list[str]:
    outermost: list[str] = []
    for name, module in model.named_modules():
        below = {f"{name}.{inner}" if inner else name for inner, _ in module.named_modules()}
        within_another = any(name.startswith(f"{outer}.") for outer in outermost)
        has_layers = any(_has_weights(inner) for inner in module.modules())
        if name and has_layers and not within_another and not below & watch.taken:
            outermost.append(name)
    return outermost
