"""How much of each layer may go at most: the shares of a policy, which the search prunes within."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from hqp.compress.ranking.steps import checked
from hqp.records import Group, nearest_name

Scores = Mapping[str, npt.NDArray[np.float64]]


def share(at_most: Mapping[str, float], layer: str) -> float:
    """The share of a layer's filters that may go: all of them where nothing is said of it."""
    named = nearest_name(at_most, layer)
    return 1.0 if named is None else at_most[named]


def limited(
    groups: Sequence[Group], scores: Scores, at_most: Mapping[str, float], gone: Mapping[str, Sequence[int]]
) -> dict[str, npt.NDArray[np.float64]]:
    """The scores with +inf, which says never, for the channels of each group that go beyond its limit.

    These are the ones of the highest scores. Those of ``gone`` are gone already, and count.
    """
    return {group.name: _limited(group, scores, at_most, gone.get(group.name, ())) for group in groups}


def _limited(
    group: Group, scores: Scores, at_most: Mapping[str, float], gone: Sequence[int]
) -> npt.NDArray[np.float64]:
    values = checked(group, scores).copy()
    left = sorted(set(range(group.channels)) - set(gone))
    left.sort(key=lambda channel: values[channel])
    more = max(0, _most(group, at_most) - len(gone))
    values[left[more:]] = np.inf
    return values


def _most(group: Group, at_most: Mapping[str, float]) -> int:
    """How many channels of a group may go, by the least share of the layers whose filters they are."""
    shares = [share(at_most, member.layer) for member in group.members if member.role == "filter"]
    return round(min(shares, default=1.0) * group.channels)
