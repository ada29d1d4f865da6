"""One call of an operation of torch, and the rule that says what it does to channels."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from hqp.compress.channels.tracing.labels import FIXED, Labels


@dataclass(frozen=True)
class Operation:
    """What went into an operation, and what came out."""

    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any

    @property
    def name(self) -> str:
        """Torch's own name for it, the same for all its overloads: ``add``, and ``add_`` in place."""
        return str(self.function.overloadpacket.__name__)

    @property
    def given(self) -> list[Tensor]:
        """The tensors among its arguments."""
        return _tensors((self.args, self.kwargs))

    @property
    def made(self) -> list[Tensor]:
        """The tensors that it gives."""
        return _tensors(self.output)

    def argument(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, wherever it was given."""
        return self.args[place] if len(self.args) > place else self.kwargs.get(name, default)


Follow: TypeAlias = Callable[[Operation, Labels], None]


@dataclass(frozen=True)
class Rule:
    """How labels follow some operations: those named, and those that torch marks with the tag."""

    operations: tuple[str, ...]
    tag: torch.Tag | None
    follow: Follow


def follows(*operations: str, tag: torch.Tag | None = None) -> Callable[[Follow], Rule]:
    """Makes a function the rule of these operations, by torch's names for them."""

    def make(follow: Follow) -> Rule:
        return Rule(operations, tag, follow)

    return make


def hold(operation: Operation, labels: Labels) -> None:
    """An operation that has no rule mixes channels, for all that can be said: they stay."""
    for tensor in operation.given:
        labels.fix(labels.of(tensor))
    for tensor in operation.made:
        labels.put(tensor, torch.tensor(FIXED))


def _tensors(tree: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]
