"""Operations that put values elsewhere, or copy them: run on the labels, they tell by themselves where channels go."""

from __future__ import annotations

from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only

from hqp.compress.channels.tracing.labels import FIXED, Labels
from hqp.compress.channels.tracing.operation import Operation, follows


@follows(
    "zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty"
)  # fmt: skip
def ignored(operation: Operation, labels: Labels) -> None:
    """These take a tensor for its shape alone."""


@follows("clone", "_to_copy", "contiguous", "lift_fresh_copy")
def copied(operation: Operation, labels: Labels) -> None:
    """A copy has the labels of what it is a copy of."""
    labels.put(operation.output, labels.of(operation.args[0]))


@follows("copy_")
def written(operation: Operation, labels: Labels) -> None:
    """What is written has its labels; through a view they reach the whole that it is a view of."""
    target, source = operation.args[:2]
    if labels.knows(target):
        labels.join(labels.of(target), labels.of(source))
    else:
        labels.fix(labels.of(source))


@follows(
    "alias", "cat", "detach", "expand", "flip", "permute", "pixel_shuffle", "pixel_unshuffle", "repeat", "squeeze",
    "stack", "t", "transpose", "unsqueeze",
)  # fmt: skip
def moved(operation: Operation, labels: Labels) -> None:
    """Every value goes somewhere whole, and its label goes along."""
    move(operation, labels)


@follows("constant_pad_nd")
def padded(operation: Operation, labels: Labels) -> None:
    """What is put around is a constant."""
    widths = operation.args[1]
    labels.put(operation.output, operation.function(labels.of(operation.args[0]), widths, FIXED))


@follows("roll")
def rolled(operation: Operation, labels: Labels) -> None:
    """By how many places is a number in the code: without some channels, others would come first."""
    given = labels.of(operation.args[0])
    for dim in operation.argument(2, "dims") or range(given.ndim):
        labels.fix_along(given, dim)
    move(operation, labels)


@follows("slice", "select", "unfold")
def chosen(operation: Operation, labels: Labels) -> None:
    """What is chosen by number stays, and so does what is counted along with it, unless all is chosen."""
    given = labels.of(operation.args[0])
    dim = operation.argument(1, "dim", 0)
    whole = operation.name == "slice" and operation.output.shape == given.shape
    if not whole:
        labels.fix_along(given, dim)
    move(operation, labels)


@follows("index_select")
def looked_up(operation: Operation, labels: Labels) -> None:
    """The same, by a list of numbers, which has no labels."""
    given, dim, places = labels.of(operation.args[0]), operation.args[1], operation.args[2]
    labels.fix_along(given, dim)
    labels.put(operation.output, given.index_select(dim, places))


def move(operation: Operation, labels: Labels) -> list[Tensor]:
    """Runs an operation on the labels as it is; gives the labels of each tensor that it makes."""
    args, kwargs = tree_map_only(Tensor, labels.of, (operation.args, operation.kwargs))
    moved_labels: list[Tensor] = tree_leaves(operation.function(*args, **kwargs))
    for tensor, theirs in zip(operation.made, moved_labels, strict=True):
        labels.put(tensor, theirs)
    return moved_labels
