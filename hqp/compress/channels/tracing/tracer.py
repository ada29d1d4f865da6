"""Runs a network on labels: layers say which of their channels stand where, operations carry labels along."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils._python_dispatch import TorchDispatchMode

from hqp.compress.channels.tracing.labels import FIXED, Cuts, Labels
from hqp.compress.channels.tracing.operation import Operation
from hqp.compress.channels.tracing.rules import rule_of
from hqp.compress.network import attention

Role = Literal["filter", "norm", "input"]


class Slot(NamedTuple):
    """One channel of one layer in one role; ``order`` is the layer's place in the model."""

    order: int
    role: Role
    channel: int


class Tied(NamedTuple):
    """Slots that can only go together, sorted; ``summed`` where a sum of two layers' outputs ties them."""

    slots: list[Slot]
    summed: bool


def channels(
    model: nn.Module, example: Tensor, parts: Mapping[Any, int], cuts: Cuts, held: Mapping[nn.Module, Collection[Role]]
) -> list[Tied]:
    """Every set of slots that can only go together, in the order of its first filter.

    ``parts`` are the convolutions, linear layers and batch normalisations of the model, each with its place; those that
    are ``held`` lose nothing in these roles. A layer that the model does not call has no slots.

    Raises:
        Whatever the model raises on ``example``.
        TypeError: the model gives something other than a tensor.
    """
    labels = Labels(cuts)
    tracer = _Tracer(labels, held)
    with torch.no_grad(), tracer.watching(model, parts), tracer:
        output = model(example)
    if not isinstance(output, Tensor):
        raise TypeError(f"the model returns a {type(output).__name__}")
    labels.fix(labels.of(output))
    with_filters = [tied for tied in tracer.sets() if any(slot.role == "filter" for slot in tied.slots)]
    return sorted(with_filters, key=lambda tied: first_filter(tied.slots))


def first_filter(slots: Sequence[Slot]) -> Slot:
    """The filter after which a set is named."""
    return next(slot for slot in slots if slot.role == "filter")


class _Tracer(TorchDispatchMode):
    """Carries labels along while a model runs."""

    def __init__(self, labels: Labels, held: Mapping[nn.Module, Collection[Role]]) -> None:
        super().__init__()
        self._labels = labels
        self._held = held
        self._slots: dict[Slot, int] = {}
        self._inside = 0  # so many layers are running, whose own operations are no concern of the rules

    def sets(self) -> Iterator[Tied]:
        """The slots of each set that can go."""
        by_root: defaultdict[int, list[Slot]] = defaultdict(list)
        roots = self._labels.roots(torch.tensor(list(self._slots.values()), dtype=torch.int64))
        for slot, root in zip(self._slots, roots.tolist(), strict=True):
            by_root[root].append(slot)
        summed = self._labels.summed()
        for root, slots in by_root.items():
            if root != FIXED:
                yield Tied(sorted(slots), root in summed)

    # --- layers ---

    @contextmanager
    def watching(self, model: nn.Module, parts: Mapping[Any, int]) -> Iterator[None]:
        """While it lasts, layers report what stands at which label, and attention how many heads it has."""
        with ExitStack() as hooks:
            for module in model.modules():
                number = attention.heads(module)
                if number is not None:
                    hooks.enter_context(module.register_forward_pre_hook(partial(self._enter_heads, number)))
                    hooks.enter_context(module.register_forward_hook(self._leave_heads))
            for part, order in parts.items():
                hooks.enter_context(part.register_forward_pre_hook(self._enter))
                hooks.enter_context(part.register_forward_hook(partial(self._leave, order)))
            yield

    def _enter_heads(self, number: int, module: nn.Module, inputs: Any) -> None:
        self._labels.heads.append(number)

    def _leave_heads(self, module: nn.Module, inputs: Any, output: Any) -> None:
        self._labels.heads.pop()

    def _enter(self, part: nn.Module, inputs: Any) -> None:
        self._inside += 1

    def _leave(self, order: int, part: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        given = self._labels.of(inputs[0])
        axis = given.ndim - 1 if isinstance(part, nn.Linear) else 1
        seen = self._labels.collapsed(given, [dim for dim in range(given.ndim) if dim != axis]).flatten()
        if isinstance(part, _BatchNorm):
            self._stand(order, part, "norm", seen)
            self._labels.put(output, given)
        else:
            self._stand(order, part, "input", seen)
            filters = self._filters(order, part, seen)
            shape = [len(filters) if dim == axis else 1 for dim in range(output.ndim)]
            self._labels.put(output, filters.reshape(shape))
        self._inside -= 1

    def _filters(self, order: int, part: Any, seen: Tensor) -> Tensor:
        """The labels of a layer's filters, int64 (filters,)."""
        filters = self._labels.fresh(part.weight.shape[0])
        self._stand(order, part, "filter", filters)
        groups = getattr(part, "groups", 1)
        if groups > 1:
            # Each group of a grouped convolution goes as a whole, inputs and outputs.
            members = torch.cat([filters.reshape(groups, -1), seen.reshape(groups, -1)], 1)
            self._labels.even_out(members, 1)
        return filters

    def _stand(self, order: int, part: nn.Module, role: Role, labels: Tensor) -> None:
        """A layer called twice has its slots at two labels, which join."""
        first = []
        for channel, label in enumerate(labels.tolist()):
            first.append(self._slots.setdefault(Slot(order, role, channel), label))
        self._labels.join(torch.tensor(first, dtype=torch.int64), labels)
        if role in self._held.get(part, ()):
            self._labels.fix(labels)

    # --- operations ---

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        output = func(*args, **kwargs)
        operation = Operation(func, args, kwargs, output)
        if not self._inside and any(self._labels.knows(tensor) for tensor in operation.given):
            rule_of(operation)(operation, self._labels)
        return output
