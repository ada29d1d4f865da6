"""Multi-head attention in a form whose heads can go: what projects are layers, and it is told how many heads it has."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Self-attention as ``nn.MultiheadAttention`` computes it, of batches (n, tokens, width), with its weights."""

    # What ``nn.TransformerEncoderLayer`` asks of its attention: without such a bias it calls the module, else it may
    # compute with the module's weights behind its back.
    batch_first = True
    in_proj_bias = None

    def __init__(self, theirs: nn.MultiheadAttention) -> None:
        super().__init__()
        self.num_heads = theirs.num_heads
        self.head_dim = theirs.head_dim
        self.dropout = theirs.dropout

        width, biased = theirs.embed_dim, theirs.in_proj_bias is not None
        self.qkv = nn.Linear(width, 3 * width, bias=biased)
        self.proj = nn.Linear(width, width, bias=biased)
        self.qkv.weight, self.proj.weight = theirs.in_proj_weight, theirs.out_proj.weight
        if biased:
            self.qkv.bias, self.proj.bias = theirs.in_proj_bias, theirs.out_proj.bias
        self.train(theirs.training)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, **options: Any) -> tuple[Tensor, None]:
        """The attention, and nothing for its weights.

        Raises:
            ValueError: query, key and value are not the same, or there is a mask.
        """
        masked = [name for name in ("key_padding_mask", "attn_mask") if options.get(name) is not None]
        if query is not key or query is not value or masked or options.get("is_causal"):
            raise ValueError("attention other than of a batch with itself, without a mask")
        images, tokens, _ = query.shape
        projected = self.qkv(query).reshape(images, tokens, 3, self.num_heads, self.head_dim)
        # Of shape (3, images, heads, tokens, head_dim).
        split = projected.permute(2, 0, 3, 1, 4)
        dropout = self.dropout if self.training else 0.0
        attended = F.scaled_dot_product_attention(split[0], split[1], split[2], dropout_p=dropout)
        joined = attended.transpose(1, 2).reshape(images, tokens, -1)
        return self.proj(joined), None


def can_unfold(theirs: nn.MultiheadAttention) -> bool:
    """Whether ``Attention`` computes the same: of one width, batches first, nothing added to keys and values."""
    same = theirs.in_proj_weight is not None and theirs.bias_k is None and not theirs.add_zero_attn
    return bool(same and theirs.batch_first)


def heads(module: nn.Module) -> int | None:
    """How many heads a module has that projects queries, keys and values at once; ``None`` where it is no such."""
    number = getattr(module, "num_heads", None)
    return number if isinstance(number, int) and isinstance(getattr(module, "qkv", None), nn.Linear) else None


def set_heads(module: Any, number: int) -> None:
    """Tells an attention how many heads are left, and timm's how wide they are together."""
    module.num_heads = number
    if hasattr(module, "attn_dim"):
        module.attn_dim = number * module.head_dim
