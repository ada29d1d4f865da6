"""The global ranking of channels, and the steps in which they go."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from hqp.compress.channels.groups import Removal
from hqp.errors import HqpError
from hqp.records import Group


def ranked(groups: Sequence[Group], scores: Mapping[str, npt.NDArray[np.float64]]) -> tuple[tuple[str, int], ...]:
    """All channels, (group, channel), in ascending score; ties go by the order of the groups, then of the channels.

    ``scores`` has an array of shape (channels,) per group. A score of +inf says never: that channel is left out.

    Raises:
        HqpError: a group has no scores, the wrong number of them, or a NaN.
    """
    values = [checked(group, scores) for group in groups]
    pairs = [(group.name, channel) for group in groups for channel in range(group.channels)]
    flat = np.concatenate(values) if values else np.empty(0)
    ascending = np.argsort(flat, kind="stable")
    may_go = ascending[flat[ascending] != np.inf]
    return tuple(pairs[index] for index in may_go)


def checked(group: Group, scores: Mapping[str, npt.NDArray[np.float64]]) -> npt.NDArray[np.float64]:
    """The scores of a group's channels.

    Raises:
        HqpError: there are none, the wrong number of them, or a NaN.
    """
    if group.name not in scores:
        raise HqpError(f"group '{group.name}' has no scores", "one score per channel of every group")
    values = np.asarray(scores[group.name], dtype=np.float64)
    if values.shape != (group.channels,):
        raise HqpError(f"group '{group.name}' has scores of shape {values.shape}", f"({group.channels},)")
    if np.isnan(values).any():
        channel = int(np.isnan(values).argmax())
        raise HqpError(f"the score of group '{group.name}', channel {channel}, is NaN", "a number, or +inf for never")
    return values


def steps(
    groups: Sequence[Group],
    ranking: Sequence[tuple[str, int]],
    step_filters: int,
    multiple: int = 1,
    start: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> tuple[Removal, ...]:
    """What is removed in all after 1, 2, ... steps from ``start`` on: channels by group, both in their own order.

    Each step takes the next channels of the list until at least ``step_filters`` more filters are gone; the last step
    takes what is left. A group keeps its last channel, which is skipped in the list. Of a group as many channels stay
    as make a multiple of ``multiple``, or all: those of the list that would leave an odd number wait for a later step.
    A group that has fewer than twice as many counts one by one, since else it would have nothing to give.

    Raises:
        HqpError: ``step_filters`` or ``multiple`` is not positive.
    """
    if step_filters < 1:
        raise HqpError(f"a pruning step of {step_filters} filters", "at least 1", "a step_fraction above 0")
    if multiple < 1:
        raise HqpError(f"channels in multiples of {multiple}", "1 or more")
    by_name = {group.name: group for group in groups}
    gone = {group.name: list(start.get(group.name, ())) for group in groups}
    done: list[Removal] = []
    filters_since_last_step = 0
    for name, channel in ranking:
        group = by_name[name]
        has_one_left = len(gone[name]) == group.channels - 1
        if has_one_left or channel in start.get(name, ()):
            continue
        gone[name].append(channel)
        filters_since_last_step += group.filters(channel)
        if filters_since_last_step >= step_filters:
            done.append(_rounded(gone, by_name, multiple))
            filters_since_last_step = 0
    if filters_since_last_step:
        done.append(_rounded(gone, by_name, multiple))
    # Rounding can leave a step as it was.
    return tuple(step for before, step in pairwise([dict(start), *done]) if step != before)


def _rounded(gone: Mapping[str, Sequence[int]], groups: Mapping[str, Group], multiple: int) -> Removal:
    """What goes of each group when the number of channels that stay is rounded up to a multiple."""
    removal = {}
    for name, channels in gone.items():
        total = groups[name].channels
        left = total - len(channels)
        block = _block(total, multiple)
        kept = -(-left // block) * block
        # Rounded up, more than there are may stay.
        going = channels[: max(0, total - kept)]
        if going:
            removal[name] = tuple(sorted(going))
    return removal


def _block(channels: int, multiple: int) -> int:
    """By how many channels a group of so many counts: one by one where it has fewer than two blocks."""
    return multiple if channels >= 2 * multiple else 1
