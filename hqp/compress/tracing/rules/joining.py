"""Element-wise operations, in which channels meet."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from hqp.compress.tracing.labels import Labels
from hqp.compress.tracing.operation import Operation, follows


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
    followed = [labels.of(tensor).expand(shape) for tensor in given if labels.knows(tensor)]
    for other in followed[1:]:
        join(followed[0], other)
    for constant in given:
        if not labels.knows(constant):
            _hold_to(constant, followed[0], labels)
    for tensor in operation.made:
        labels.put(tensor, followed[0])


def _hold_to(constant: Tensor, followed: Tensor, labels: Labels) -> None:
    """A constant that differs along channels holds them."""
    for dim in range(-constant.ndim, 0):
        if constant.shape[dim] > 1:
            labels.fix_along(followed, dim)
