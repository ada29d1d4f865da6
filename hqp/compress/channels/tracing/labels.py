"""Labels of channels: which stand where in a tensor, and which have met and can only go together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor
from torch.utils.weak import WeakIdKeyDictionary

FIXED = 0  # the label of what stays: the image, constants, the logits


class Cuts(NamedTuple):
    """How code that cuts a tensor through its channels finds the places where it cuts.

    Even: by shares, as ``chunk`` and a view by numbers of groups do, so that each part may lose the same of its
    channels. Otherwise by numbers in the code, and what is cut stays.
    """

    even_parts: bool
    even_views: bool


class Labels:
    """The labels of the tensors of one forward pass, int64 of their shape, and the sets into which labels are joined.

    A label is a channel as a layer made it, and a set is what can only go together; ``FIXED`` stays the root of the set
    of all that cannot go. ``heads`` are the numbers of heads of the attention modules that are running.
    """

    def __init__(self, cuts: Cuts) -> None:
        self.cuts = cuts
        self.heads: list[int] = []
        self._roots = torch.zeros(1, dtype=torch.int64)
        self._labels: WeakIdKeyDictionary = WeakIdKeyDictionary()
        self._summed: list[Tensor] = []

    # --- tensors ---

    def knows(self, tensor: Tensor) -> bool:
        """Whether channels were followed into this tensor."""
        return tensor in self._labels

    def of(self, tensor: Tensor) -> Tensor:
        """The labels of a tensor, of its shape; of one that nothing is known of, fixed ones."""
        known: Tensor | None = self._labels.get(tensor)
        if known is None:
            return torch.tensor(FIXED).expand(tensor.shape)
        return known

    def put(self, tensor: Tensor, labels: Tensor) -> None:
        """Says what the labels of a tensor are."""
        self._labels[tensor] = labels.expand(tensor.shape)

    # --- sets ---

    def fresh(self, count: int) -> Tensor:
        """As many new labels, int64 (count,), each a set of its own."""
        start = len(self._roots)
        new = torch.arange(start, start + count)
        self._roots = torch.cat([self._roots, new])
        return new

    def roots(self, labels: Tensor) -> Tensor:
        """The label that stands for the set of each."""
        return self._roots[thinned(labels)].expand(labels.shape)

    def join(self, one: Tensor, other: Tensor) -> None:
        """Puts the sets of each pair of labels into one, represented by the least root."""
        left, right = torch.broadcast_tensors(thinned(one), thinned(other))
        met_pairs = torch.stack([left.flatten(), right.flatten()])
        pairs = torch.unique(self._roots[met_pairs], dim=1)
        pairs = pairs[:, pairs[0] != pairs[1]]
        if not pairs.numel():
            return
        # Sets are nodes, pairs are edges: what is connected becomes one set.
        roots, (rows, columns) = torch.unique(pairs, return_inverse=True)
        ones, shape = np.ones(len(rows)), (len(roots), len(roots))
        edges = coo_array((ones, (rows.numpy(), columns.numpy())), shape=shape)
        _, component = connected_components(edges, directed=False)
        # The first of each component is its least root, as ``roots`` ascends.
        _, first = np.unique(component, return_index=True)
        representative = torch.from_numpy(first[component])

        moved = torch.arange(len(self._roots))
        moved[roots] = roots[representative]
        self._roots = moved[self._roots]

    def sum(self, one: Tensor, other: Tensor) -> None:
        """Joins what is added; what was in two sets until then counts as tied by a sum."""
        left, right = torch.broadcast_tensors(thinned(one), thinned(other))
        self._summed.append(left[self.roots(left) != self.roots(right)])
        self.join(left, right)

    def summed(self) -> set[int]:
        """The roots of the sets that a sum ties."""
        return {root for labels in self._summed for root in self.roots(labels).unique().tolist()}

    def fix(self, labels: Tensor) -> None:
        """Holds channels in place."""
        self.join(labels, torch.tensor(FIXED))

    # --- along dimensions ---

    def varies(self, labels: Tensor, dim: int) -> bool:
        """Whether a dimension goes from set to set."""
        return differs(self.roots(labels), dim)

    def fix_along(self, labels: Tensor, dim: int) -> None:
        """Holds all channels in place, where a dimension goes from one to another."""
        if self.varies(labels, dim):
            self.fix(labels)

    def even_out(self, labels: Tensor, dim: int) -> None:
        """What lies along a dimension goes together."""
        self.join(labels, labels.narrow(dim, 0, 1))

    def collapsed(self, labels: Tensor, dims: Iterable[int]) -> Tensor:
        """The labels with these dimensions of length 1; what differed along them is held in place."""
        dims = list(dims)
        thin = thinned(labels)
        differing = self.roots(thin) != self.roots(_first(thin, dims))
        if differing.any():
            self.fix(thin[differing])
            self.fix(_first(thin, dims).expand(thin.shape)[differing])
        return _first(labels, dims)


def _first(labels: Tensor, dims: Iterable[int]) -> Tensor:
    for dim in dims:
        labels = labels.narrow(dim, 0, 1)
    return labels


def thinned(labels: Tensor) -> Tensor:
    """The labels without the repetitions that an expansion made, each such dimension of length 1."""
    for dim in range(labels.ndim):
        if labels.stride(dim) == 0 and labels.shape[dim] > 1:
            labels = labels.narrow(dim, 0, 1)
    return labels


def differs(labels: Tensor, dim: int) -> bool:
    """Whether labels change along a dimension."""
    thin = thinned(labels)
    return bool((thin != thin.narrow(dim, 0, 1)).any())
