"""The per-layer record: what pruning left of each layer, its sensitivity, and the range its INT8 steps span."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import Tensor, nn

from hqp.compress.network.layers import layers
from hqp.records import LayerRecord, Precision

INT8_STEPS = 2**8 - 1


def record(
    dense: nn.Module,
    compressed: nn.Module,
    gone: Mapping[str, Collection[int]],
    fisher: Mapping[str, Tensor] | None,
    precision: Callable[[str], Precision],
) -> tuple[LayerRecord, ...]:
    """One record for each convolution and linear layer, in the model's order.

    R = max - min of a layer's weights and s = R / (2^8 - 1), as in method.md; S is the mean over the layer's filters,
    ``None`` where no criterion asked for it, or it cannot be had: of a layer that works in several places, or that went
    with its block before channels were ranked.
    ``precision`` tells that of a layer in the file that is shipped.
    """
    kept = layers(compressed)
    records = []
    for name, module in layers(dense).items():
        remaining = kept.get(name)
        filters = module.weight.shape[0]
        alive = [index for index in range(filters) if index not in gone.get(name, ())]
        scores = None if fisher is None else fisher.get(name)
        # With its block a layer goes as a whole.
        before, after = _range(module.weight), _range(remaining.weight) if remaining else 0.0
        records.append(
            LayerRecord(
                layer=name,
                channels=filters,
                kept_channels=remaining.weight.shape[0] if remaining else 0,
                sensitivity=None if scores is None else float(scores.mean()),
                kept_sensitivity=float(scores[alive].mean()) if scores is not None and alive else None,
                weight_range=before,
                kept_weight_range=after,
                weight_step=before / INT8_STEPS,
                kept_weight_step=after / INT8_STEPS,
                precision=precision(name),
            )
        )
    return tuple(records)


def _range(weight: Tensor) -> float:
    values = weight.detach()
    return float(values.max() - values.min())
