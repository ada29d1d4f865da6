"""Attention, of which whole heads can go."""

from __future__ import annotations

import torch

from hqp.compress.channels.tracing.labels import FIXED, Labels
from hqp.compress.channels.tracing.operation import Operation, follows


@follows(
    "_scaled_dot_product_attention_math", "_scaled_dot_product_cudnn_attention",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_flash_attention_for_cpu", "_scaled_dot_product_fused_attention_overrideable",
)  # fmt: skip
def attended(operation: Operation, labels: Labels) -> None:
    """Queries, keys and values (n, heads, tokens, channels) of a head go together; keys may be one for all heads."""
    by_head = []
    for tensor in operation.args[:3]:
        theirs = labels.of(tensor)
        labels.even_out(theirs, -1)
        by_head.append(labels.collapsed(theirs, (0, 2, 3)))
    queries, keys, values = by_head
    labels.join(queries, keys)
    labels.join(queries, values)
    labels.put(operation.made[0], values)
    for statistic in operation.made[1:]:
        labels.put(statistic, torch.tensor(FIXED))
