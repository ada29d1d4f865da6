"""In which order the channels of a group are missed least, where what they leave behind is refitted.

What a layer's outputs lose without an input c, once the other inputs are fitted anew, is W_c ([H⁻¹]_cc)⁻¹ W_cᵀ, with H
the Gram matrix of its patches: nothing where others say the same. As inputs go, H⁻¹ and W become those of what is left,
so that of two channels that say the same the second is missed. Source: E. Kurtic et al., "ZipLM", arXiv 2302.04089
(2023); E. Frantar, D. Alistarh, "Optimal Brain Compression", arXiv 2208.11580 (2022).

Errors of the outputs are weighed by their curvature, which ``curvature.py`` measures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hqp.compress.channels.recover import RIDGE
from hqp.compress.network.layers import layers
from hqp.records import Group

# A group loses so large a share of its channels at once, and no more of those that are left: one by one takes longer,
# and leaves what is lost the same to four digits with half as many at once.
AT_ONCE, MOST_AT_ONCE = 1 / 12, 1 / 6

Consumer = tuple["Inputs", Sequence[Sequence[int]]]


class Inputs:
    """What an ungrouped layer loses without some of its inputs, which go one after the other."""

    def __init__(self, layer: Any, gram: Tensor, curvature: Tensor, precision: torch.dtype) -> None:
        hessian = gram.to(precision) / gram[-1, -1]
        weights = layer.weight.detach().flatten(1).to(precision)
        # With this root R of the curvature, RᵀR, the squares of what R W x is off by are the loss.
        values, vectors = torch.linalg.eigh(curvature.to(precision))
        weighed = (vectors * values.clamp(min=0).sqrt()).T @ weights

        # All but the bias, which is free.
        inputs = hessian.diagonal()[:-1]
        inputs += RIDGE * inputs.mean().clamp(min=1e-30)
        self._inverse = torch.cholesky_inverse(torch.linalg.cholesky(hessian))
        # The bias has no loss of its own.
        self._weights = torch.nn.functional.pad(weighed, (0, 1))
        self._kernel = layer.weight[0, 0].numel()
        self._left = list(range(layer.weight.shape[1]))

    def losses(self) -> dict[int, float]:
        """What the layer would lose without each input that is left."""
        count, kernel = len(self._left), self._kernel
        blocks = self._inverse[:-1, :-1].reshape(count, kernel, count, kernel)
        # Of each input its own block, (count, kernel, kernel), and its weights, (count, kernel, filters).
        diagonal = torch.arange(count)
        own = blocks[diagonal, :, diagonal, :]
        weights = self._weights[:, :-1].reshape(-1, count, kernel).permute(1, 2, 0)
        solved = torch.linalg.solve(own, weights)
        losses = (solved * weights).sum((1, 2))
        return dict(zip(self._left, losses.tolist(), strict=True))

    def remove(self, inputs: set[int]) -> None:
        """Takes inputs away and fits the others anew."""
        going = torch.tensor([index in inputs for index in self._left]).repeat_interleave(self._kernel)
        gone, kept = going.nonzero().flatten(), (~going).nonzero().flatten()
        kept_and_bias = torch.cat([kept, torch.tensor([len(going)])])
        beside_gone = self._inverse[:, gone]
        across = beside_gone[kept_and_bias]
        root = torch.linalg.cholesky(beside_gone[gone])
        shares = torch.cholesky_solve(across.T, root)
        self._weights = self._weights[:, kept_and_bias] - self._weights[:, gone] @ shares
        left = self._inverse[kept_and_bias].index_select(1, kept_and_bias)
        self._inverse = left.addmm_(across, shares, alpha=-1)
        self._left = [index for index in self._left if index not in inputs]


@torch.no_grad()
def order(
    model: nn.Module, group: Group, grams: Mapping[str, Tensor], curvatures: Mapping[str, Tensor]
) -> tuple[int, ...] | None:
    """The channels of a group, those first that are missed least; ``None`` where no layer that takes them is fitted.

    ``grams`` are what ``recover.grams`` gives, ``curvatures`` what ``curvature.py`` does. Computed in float32, which
    takes half as long, and in float64 where that is too coarse: where the inputs of a layer nearly say the same.
    """
    try:
        return _order(model, group, grams, curvatures, torch.float32)
    except torch.linalg.LinAlgError:
        return _order(model, group, grams, curvatures, torch.float64)


def _order(
    model: nn.Module,
    group: Group,
    grams: Mapping[str, Tensor],
    curvatures: Mapping[str, Tensor],
    precision: torch.dtype,
) -> tuple[int, ...] | None:
    known = layers(model)
    consumers: list[Consumer] = []
    for member in group.members:
        if member.role == "input" and member.layer in grams and member.layer in curvatures:
            inputs = Inputs(known[member.layer], grams[member.layer], curvatures[member.layer], precision)
            consumers.append((inputs, member.channels))
    if not consumers:
        return None
    left, going = list(range(group.channels)), list[int]()
    while left:
        losses = _losses(consumers, group.channels)
        count = max(1, int(min(group.channels * AT_ONCE, len(left) * MOST_AT_ONCE)))
        next_ones = sorted(left, key=lambda channel: losses[channel])[:count]
        going += next_ones
        left = sorted(set(left) - set(next_ones))
        if not left:
            break
        for inputs, channels in consumers:
            inputs.remove({index for channel in next_ones for index in channels[channel]})
    return tuple(going)


def _losses(consumers: Sequence[Consumer], channels: int) -> list[float]:
    """What all layers together would lose without each channel; those that are gone lose nothing more."""
    total = np.zeros(channels)
    for inputs, indices in consumers:
        losses = inputs.losses()
        total += [sum(losses.get(index, 0.0) for index in indices[channel]) for channel in range(channels)]
    return [float(loss) for loss in total]
