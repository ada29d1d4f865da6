"""The order in which channels go where each is worth what it saves, and that depends on what is already gone.

A filter whose inputs are gone saves less than when they were there. So what goes next is chosen anew each time: the
channels of the least loss for what they save of what is left.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import numpy as np
import numpy.typing as npt

from hqp.compress.ranking.steps import checked
from hqp.records import Group, Member

# What saves nothing counts as saving this share of the whole: such channels go late, in the order of their losses.
NOTHING = 1e-6

# How many filters and inputs a layer has, and which channels of each group are gone.
Size = tuple[int, int]
Gone = Mapping[str, Sequence[int]]


class Costs(Protocol):
    """What the layers of a network take: multiply-adds, or microseconds.

    ``blocks`` are the numbers of channels that kernels work on at once, where costs are stairs: of a block the last
    channel saves all and the others nothing.
    """

    @property
    def blocks(self) -> tuple[int, ...]:
        """Multiples of channels at which the costs have their stairs; none where they have no stairs."""

    @property
    def sizes(self) -> Mapping[str, Size]:
        """The filters and inputs of each layer of the trained network."""

    def of(self, layer: str, filters: int, inputs: int) -> float:
        """What a layer takes that has so many filters and inputs."""


class Remaining:
    """How many filters and inputs the layers of a network have left, ``left``, and have without some channels more."""

    def __init__(self, groups: Sequence[Group], sizes: Mapping[str, Size], gone: Gone = MappingProxyType({})) -> None:
        self.left = dict(sizes)
        # Of each group the members that weigh something, each with how many of its channels go with one of the group.
        self._members: dict[str, list[tuple[Member, list[int]]]] = {}
        for group in groups:
            weighing = [member for member in group.members if member.role != "norm"]
            self._members[group.name] = [(member, [len(its) for its in member.channels]) for member in weighing]
        for name, channels in gone.items():
            self.remove(name, channels)

    def remove(self, group: str, channels: Sequence[int]) -> None:
        """Takes channels of a group away."""
        self.left.update(self.without(group, channels))

    def without(self, group: str, channels: Sequence[int]) -> dict[str, Size]:
        """What those layers would have left that lose something with these channels."""
        after: dict[str, Size] = {}
        for member, widths in self._members[group]:
            filters, inputs = after.get(member.layer, self.left[member.layer])
            going = sum(widths[channel] for channel in channels)
            if member.role == "filter":
                filters -= going
            else:
                inputs -= going
            after[member.layer] = filters, inputs
        return after

    def saved(self, costs: Costs, group: str, channels: Sequence[int]) -> float:
        """What the network takes less without these channels."""
        after = self.without(group, channels)
        before = {layer: self.left[layer] for layer in after}
        return taken(costs, before) - taken(costs, after)


def taken(costs: Costs, sizes: Mapping[str, Size]) -> float:
    """What layers of these sizes take."""
    return sum(costs.of(layer, *size) for layer, size in sizes.items())


@dataclass
class Queue:
    """The channels of a group that may go, in ascending loss, and how many it has left with those that stay."""

    channels: list[int]
    losses: list[float]
    left: int
    whole: int

    @property
    def crowding(self) -> float:
        """By how much more each channel matters than in the whole group: what is gone leans on those that are left.

        Losses are measured one channel at a time; without this a group is emptied whose channels are cheap one by one.
        """
        return self.whole / self.left

    @classmethod
    def of(cls, group: Group, losses: npt.NDArray[np.float64], gone: Sequence[int]) -> Queue:
        """All that may go of a group: not its last channel, nor one whose loss is +inf."""
        left = sorted(set(range(group.channels)) - set(gone))
        ascending = sorted(left, key=lambda channel: losses[channel])
        without_last = ascending[: len(left) - 1]
        going = [channel for channel in without_last if losses[channel] != np.inf]
        losses_of_going = [float(losses[channel]) for channel in going]
        return cls(going, losses_of_going, len(left), group.channels)

    def counts(self, blocks: Sequence[int]) -> set[int]:
        """How many might go next: one, or as many as leave a multiple of a block."""
        most = len(self.channels)
        to_blocks = {self.left % block or block for block in blocks}
        return {count for count in {1, *to_blocks} if count <= most}

    def take(self, count: int) -> list[int]:
        """The next channels, which are no longer waiting."""
        taken = self.channels[:count]
        self.channels, self.losses = self.channels[count:], self.losses[count:]
        self.left -= count
        return taken


def ranked(
    groups: Sequence[Group],
    scores: Mapping[str, npt.NDArray[np.float64]],
    costs: Costs,
    start: Gone = MappingProxyType({}),
) -> tuple[tuple[str, int], ...]:
    """Channels, (group, channel), in the order in which they go; those of ``start`` are gone already.

    ``scores`` are the loss that each channel costs, an array of shape (channels,) per group. A group keeps its last
    channel, and each that scores +inf. What is equally good goes in the order of the groups.

    Raises:
        HqpError: a group has no scores, the wrong number of them, or a NaN.
    """
    least = NOTHING * taken(costs, costs.sizes)
    remaining = Remaining(groups, costs.sizes, start)
    queues = {group.name: Queue.of(group, checked(group, scores), start.get(group.name, ())) for group in groups}

    def offer(name: str) -> tuple[float, int]:
        """The least loss for what is saved, over the numbers of channels of a group that might go, and that number."""
        queue = queues[name]
        offers = [(np.inf, 0)]
        for count in sorted(queue.counts(costs.blocks)):
            saved = max(remaining.saved(costs, name, queue.channels[:count]), least)
            loss = sum(queue.losses[:count]) * queue.crowding
            offers.append((loss / saved, count))
        return min(offers)

    neighbours = _neighbours(groups)
    offers = {name: offer(name) for name in queues}
    order: list[tuple[str, int]] = []
    while offers:
        name = min(offers, key=lambda group: offers[group][0])
        _, count = offers[name]
        if not count:
            break
        going = queues[name].take(count)
        remaining.remove(name, going)
        order += [(name, channel) for channel in going]
        # Only what shares a layer with it saves something else now.
        for neighbour in neighbours[name]:
            offers[neighbour] = offer(neighbour)
    return tuple(order)


def _neighbours(groups: Sequence[Group]) -> dict[str, list[str]]:
    """The groups with which each shares a layer, itself among them."""
    at: defaultdict[str, list[str]] = defaultdict(list)
    for group in groups:
        for layer in {member.layer for member in group.members}:
            at[layer].append(group.name)
    found = {}
    for group in groups:
        touching = {name for member in group.members for name in at[member.layer]}
        found[group.name] = [other.name for other in groups if other.name in touching]
    return found
