"""Operations over the positions of each channel, and reductions over whole dimensions."""

from __future__ import annotations

from hqp.compress.channels.tracing.labels import Labels
from hqp.compress.channels.tracing.operation import Operation, follows


@follows(
    "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d", "avg_pool2d",
    "avg_pool3d", "max_pool2d_with_indices", "max_pool3d_with_indices", "reflection_pad2d", "replication_pad2d",
    "upsample_bicubic2d", "upsample_bilinear2d", "upsample_nearest2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
)  # fmt: skip
def pooled(operation: Operation, labels: Labels) -> None:
    """Batch and channels come first, positions after; each channel is seen by itself."""
    given = labels.of(operation.args[0])
    seen = labels.collapsed(given, range(2, given.ndim))
    for tensor in operation.made:
        labels.put(tensor, seen)


@follows("mean", "sum", "amax", "amin", "var", "std")
def reduced(operation: Operation, labels: Labels) -> None:
    """Channels that lie along a dimension that goes meet in one value, and go together."""
    _reduce(operation, labels, 1)


@follows("linalg_vector_norm")
def normed(operation: Operation, labels: Labels) -> None:
    """The same; the order of the norm comes before the dimensions."""
    _reduce(operation, labels, 2)


def _reduce(operation: Operation, labels: Labels, place: int) -> None:
    given = labels.of(operation.args[0])
    dims = operation.argument(place, "dim")
    over = [dims] if isinstance(dims, int) else dims or range(given.ndim)
    seen = given
    for dim in over:
        labels.even_out(seen, dim)
        seen = seen.narrow(dim, 0, 1)
    labels.put(operation.output, seen.reshape(operation.output.shape))


@follows("_softmax", "_log_softmax")
def normalised(operation: Operation, labels: Labels) -> None:
    """What shares a sum goes together: without one the others would grow."""
    given = labels.of(operation.args[0])
    labels.even_out(given, operation.args[1])
    labels.put(operation.output, given)
