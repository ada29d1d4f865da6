"""Dependency groups, channels that can only go together: what they hold, and their physical removal.

``finding.py`` finds them.
"""

from __future__ import annotations

import fnmatch
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from hqp.compress.channels.shrinking import grow, kept, shrink
from hqp.compress.network import attention
from hqp.compress.network.copies import copied
from hqp.compress.network.layers import layers, norms
from hqp.compress.network.usage import usage
from hqp.errors import HqpError, UnknownName
from hqp.records import Group

# The channels that go, by the name of their group, and what that takes from each layer, by layer and role.
Removal = Mapping[str, tuple[int, ...]]
Removed = Mapping[tuple[str, str], frozenset[int]]


def output_layer(model: nn.Module, example: Tensor) -> str:
    """The name of the classifier's output layer: the convolution or linear layer that the model calls last.

    Raises:
        HqpError: the model calls no such layer, or cannot take ``example``.
    """
    return usage(model, example).last


def filters(model: nn.Module, example: Tensor) -> dict[str, int]:
    """The number of output channels of every convolution and linear layer except the classifier's output layer.

    Their sum is the denominator of θ.
    """
    last = output_layer(model, example)
    return {name: size for name, size in sizes(model).items() if name != last}


def sizes(model: nn.Module) -> dict[str, int]:
    """The number of output channels of every convolution and linear layer."""
    return {name: layer.weight.shape[0] for name, layer in layers(model).items()}


def parts(model: nn.Module) -> dict[str, Any]:
    """The layers that removal touches, by name, in the model's order."""
    known = layers(model).keys() | norms(model).keys()
    return {name: module for name, module in model.named_modules() if name in known}


def removed(groups: Sequence[Group], channels: Mapping[str, Sequence[int]]) -> Removed:
    """The indices that go with these channels, by layer and role.

    Raises:
        UnknownName: there is no such group.
        HqpError: a channel that the group does not have, or all that it has.
    """
    by_name = {group.name: group for group in groups}
    gone: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for name, indices in channels.items():
        if name not in by_name:
            raise UnknownName("group", name, by_name)
        group = by_name[name]
        _require_some(group, set(indices))
        for member in group.members:
            # One channel of a group may be several of a layer: two halves of a split, say.
            for index in indices:
                gone[member.layer, member.role].update(member.channels[index])
    return {key: frozenset(indices) for key, indices in gone.items()}


def _require_some(group: Group, indices: set[int]) -> None:
    """Refuses channels that a group does not have, and all that it has."""
    if indices <= set(range(group.channels)) and len(indices) < group.channels:
        return
    asked = f"channels {sorted(indices)} of group '{group.name}' cannot go"
    raise HqpError(asked, f"some, not all, of its channels 0 to {group.channels - 1}")


def filters_of(groups: Sequence[Group]) -> int:
    """How many filters the groups have."""
    return sum(group.filters(channel) for group in groups for channel in range(group.channels))


def filters_removed(groups: Sequence[Group], channels: Mapping[str, Sequence[int]]) -> int:
    """How many filters go with these channels, over all layers: the numerator of θ."""
    return sum(len(gone) for (_, role), gone in removed(groups, channels).items() if role == "filter")


def filters_among(groups: Sequence[Group], gone: Mapping[str, frozenset[int]]) -> int:
    """How many filters of the groups are among those that are gone, by layer."""
    count = 0
    for group in groups:
        for member in group.members:
            if member.role == "filter":
                indices = {index for channel in member.channels for index in channel}
                count += len(indices & gone.get(member.layer, frozenset()))
    return count


def inner(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups that no sum of layers' outputs ties: the channels within residual blocks, or of a plain network."""
    return tuple(group for group in groups if not group.summed)


def without(groups: Sequence[Group], patterns: Sequence[str], model: nn.Module) -> tuple[Group, ...]:
    """The groups that take no filter from a layer whose name matches one of the patterns, ``layer4.*`` say.

    ``model`` is the trained one, also where the groups are of what is left of it without some blocks.

    Raises:
        UnknownName: no layer of the model matches a pattern.
    """
    whole = matching(patterns, model)
    return tuple(group for group in groups if not _filters_in(group) & whole)


def matching(patterns: Sequence[str], model: nn.Module) -> set[str]:
    """The layers whose names match one of the patterns.

    Raises:
        UnknownName: no layer of the model matches a pattern.
    """
    names, found = list(layers(model)), set()
    for pattern in patterns:
        matched = fnmatch.filter(names, pattern)
        if not matched:
            raise UnknownName("layer", pattern, names, fix="--keep 'layer4.*'")
        found.update(matched)
    return found


def _filters_in(group: Group) -> set[str]:
    """The layers whose filters a group takes."""
    return {member.layer for member in group.members if member.role == "filter"}


def remove(model: nn.Module, channels: Mapping[str, Sequence[int]], groups: Sequence[Group]) -> nn.Module:
    """A copy of the model without these channels, by group name: its layers are smaller, nothing is masked.

    ``groups`` are those that ``finding.find_groups`` gave for the model.

    Raises:
        UnknownName: there is no such group.
        HqpError: a channel that the group does not have, or all that it has.
    """
    return shrunk(model, removed(groups, channels))


def shrunk(model: nn.Module, removed: Removed) -> nn.Module:
    """A copy of the model without these filters, inputs and normalised channels of its layers."""
    smaller = copied(model)
    for name, part in parts(smaller).items():
        gone = _gone(name, removed)
        if any(gone.values()):
            shrink(part, gone)
    _count_heads(model, smaller)
    return smaller


def _count_heads(before: nn.Module, smaller: nn.Module) -> None:
    """Tells attention how many heads its layers still project."""
    for name, module in before.named_modules():
        number = attention.heads(module)
        if number is not None:
            left = smaller.get_submodule(name)
            attention.set_heads(left, number * left.qkv.out_features // module.qkv.out_features)


def grown(dense: nn.Module, smaller: nn.Module, removed: Removed) -> nn.Module:
    """The inverse of removal: ``smaller`` in the shape of the model it was made of, with zeros for what is gone.

    It gives the logits of ``smaller``.
    """
    whole, small, left = copied(dense), parts(smaller), smaller.state_dict()
    for name, values in whole.state_dict().items():
        if name in left and left[name].shape == values.shape:
            values.copy_(left[name])
    for name, part in parts(whole).items():
        gone = _gone(name, removed)
        if any(gone.values()):
            grow(part, small[name], gone)
    return whole


def _gone(name: str, removed: Removed) -> dict[str, frozenset[int]]:
    return {role: removed.get((name, role), frozenset()) for role in ("filter", "norm", "input")}


def spread(values: Mapping[str, Tensor], removed: Removed, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """One value to a filter that is left, by layer, as one to each of all its filters: 0 for those that are gone."""
    found = {}
    for name, left in values.items():
        size = sizes.get(name, len(left))
        staying = kept(size, removed.get((name, "filter"), frozenset()))
        found[name] = left.new_zeros(size)
        found[name][staying] = left
    return found
