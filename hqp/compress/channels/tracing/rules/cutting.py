"""Operations that cut a tensor into parts or into other dimensions, perhaps through its channels."""

from __future__ import annotations

from collections.abc import Sequence

from hqp.compress.channels.tracing.labels import Labels, differs
from hqp.compress.channels.tracing.operation import Operation, follows
from hqp.compress.channels.tracing.rules.moving import move


@follows("split", "split_with_sizes")
def split(operation: Operation, labels: Labels) -> None:
    """Parts of one size lose the same of their channels; others were cut by numbers in the code, and stay."""
    _part(operation, labels, operation.argument(2, "dim", 0))


@follows("unbind")
def unbound(operation: Operation, labels: Labels) -> None:
    """As a split into parts of length 1."""
    _part(operation, labels, operation.argument(1, "dim", 0))


def _part(operation: Operation, labels: Labels, dim: int) -> None:
    given = labels.of(operation.args[0])
    parts = move(operation, labels)
    if not labels.varies(given, dim):
        return
    even = labels.cuts.even_parts and all(part.shape == parts[0].shape for part in parts)
    for part in parts:
        if even:
            labels.join(part, parts[0])
        else:
            labels.fix(part)


@follows("glu")
def halved(operation: Operation, labels: Labels) -> None:
    """One half gates the other: channels at the same place of both go together."""
    one, other = labels.of(operation.args[0]).chunk(2, operation.argument(1, "dim", -1))
    labels.join(one, other)
    labels.put(operation.output, one)


@follows("view", "_unsafe_view", "_reshape_copy", "reshape", "_reshape_alias", "view_copy")
def viewed(operation: Operation, labels: Labels) -> None:
    """Where a view cuts channels into several dimensions, they go evenly, or stay.

    What remains apart are the places along the last of these, or in attention the heads.
    """
    made = labels.of(operation.args[0]).reshape(operation.output.shape)
    # By label, not by set: a grouped convolution's filters of one group are one set, and still lie side by side.
    cut = [dim for dim in range(made.ndim) if differs(made, dim)]
    apart = _apart(cut, made.shape, labels)
    for dim in cut:
        if dim == apart:
            continue
        if labels.cuts.even_views:
            labels.even_out(made, dim)
        else:
            labels.fix(made)
    labels.put(operation.output, labels.roots(made) if len(cut) > 1 else made)


def _apart(cut: Sequence[int], shape: Sequence[int], labels: Labels) -> int | None:
    by_head = len(cut) > 1 and labels.heads and shape[cut[-2]] == labels.heads[-1]
    if by_head:
        return cut[-2]
    return cut[-1] if cut else None
