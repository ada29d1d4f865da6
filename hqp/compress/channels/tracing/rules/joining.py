"""Element-wise operations, in which channels meet."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hqp.compress.channels.tracing.labels import Labels
from hqp.compress.channels.tracing.operation import Operation, follows


# Element-wise though torch does not mark them so are those that are named.
@follows("hardswish", "hardswish_", "native_dropout", "log_sigmoid_forward", tag=torch.Tag.pointwise)
def met(operation: Operation, labels: Labels) -> None:
    """Channels that meet go together."""
    _meet(operation, labels, labels.join)


@follows("add", "add_", "sub", "sub_", "rsub", "addcmul", "addcmul_", "lerp")
def summed(operation: Operation, labels: Labels) -> None:
    """The same, and a sum ties them."""
    _meet(operation, labels, labels.sum)


def _meet(operation: Operation, labels: Labels, join: Callable[[Tensor, Tensor], None]) -> None:
    shape = operation.made[0].shape
    given = operation.given
    followed = [labels.of(tensor) for tensor in given if labels.knows(tensor)]
    whole = []
    for theirs in followed:
        if _is_spread(theirs, followed, labels):
            labels.fix(theirs)
        else:
            whole.append(theirs)
    made = max(whole or followed, key=Tensor.numel)
    for theirs in whole:
        join(made, theirs)
    for constant in given:
        if not labels.knows(constant):
            _hold_to(constant, made.expand(shape), labels)
    for tensor in operation.made:
        labels.put(tensor, made)


def _is_spread(theirs: Tensor, followed: list[Tensor], labels: Labels) -> bool:
    """Whether one value meets different channels of another tensor, as a map of attention over positions does.

    Such a value stays, and they are none the less apart.
    """
    for other in followed:
        for dim in range(-other.ndim, 0):
            length = theirs.shape[dim] if -dim <= theirs.ndim else 1
            if length == 1 and labels.varies(other, dim):
                return True
    return False


def _hold_to(constant: Tensor, followed: Tensor, labels: Labels) -> None:
    """A constant that differs along channels holds them."""
    for dim in range(-constant.ndim, 0):
        if constant.shape[dim] > 1:
            labels.fix_along(followed, dim)
