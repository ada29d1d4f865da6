"""Dependency groups: which channels can only go together, and their physical removal.

``tracing/`` finds them. What it found is put to the test before it is used: ``find_groups`` removes channels of every
group once, compares with the model in which they are masked, and refuses a model on which the two differ.
"""

from __future__ import annotations

import fnmatch
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hqp.compress import attention
from hqp.compress.contract import FORWARD_ERRORS
from hqp.compress.copies import copied
from hqp.compress.statistics import Layer, layers, norms
from hqp.compress.tracing.labels import Cuts
from hqp.compress.tracing.tracer import Role, Slot, Tied, channels, first_filter
from hqp.errors import HqpError, UnknownName
from hqp.records import Group, Member

Removed = Mapping[tuple[str, str], frozenset[int]]

# Most code that cuts through channels does so by shares; what does not is traced again with these channels fixed.
CUTS = (Cuts(True, True), Cuts(False, False))

# Removing and masking agree to about 1e-14 in float64; a wrong index shows in the first digits.
AGREEMENT = 1e-9


def output_layer(model: nn.Module) -> str:
    """The name of the classifier's output layer: the convolution or linear layer that the model declares last.

    Raises:
        HqpError: the model has no such layer.
    """
    names = list(layers(model))
    if not names:
        raise HqpError("the model has no convolution and no linear layer", "a convolutional network")
    return names[-1]


def filters(model: nn.Module) -> dict[str, int]:
    """The number of output channels of every convolution and linear layer except the classifier's output layer.

    Their sum is the denominator of θ.
    """
    last = output_layer(model)
    return {name: size for name, size in sizes(model).items() if name != last}


def sizes(model: nn.Module) -> dict[str, int]:
    """The number of output channels of every convolution and linear layer."""
    return {name: layer.weight.shape[0] for name, layer in layers(model).items()}


def find_groups(model: nn.Module, example: Tensor) -> tuple[Group, ...]:
    """The dependency groups of a model, each channel that can go in exactly one of them, in the model's own order.

    ``example`` is one batch of the network's input. A group is named after its first layer, with ``:index`` where an
    earlier group starts in the same layer. Left out are channels that cannot go: the classifier's outputs, those tied
    to the network's input, and those that meet a layer or an operation other than convolution, linear, batch norm,
    concatenation, flattening and element-wise arithmetic.

    Raises:
        HqpError: the model cannot be traced, or removing channels differs from masking them.
    """
    last = output_layer(model)
    traced = copied(model).cpu().double().eval()
    probe = torch.rand(example.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _randomise(traced)
    culprit = ""
    for cuts in CUTS:
        groups = _traced(traced, probe, cuts)
        if any(member.layer == last and member.role == "filter" for group in groups for member in group.members):
            raise HqpError(
                f"layer '{last}', declared last, does not give the logits", "a classifier whose last layer does"
            )
        culprit = _culprit(traced, groups, probe)
        if not culprit:
            return groups
    raise HqpError(
        f"removing channels of group '{culprit}' differs from masking them",
        "channels joined by addition, multiplication and torch.cat, without their numbers in the code",
    )


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
        if not set(indices) <= set(range(group.channels)) or len(set(indices)) == group.channels:
            asked = f"channels {sorted(set(indices))} of group '{name}' cannot go"
            raise HqpError(asked, f"some, not all, of its channels 0 to {group.channels - 1}")
        for member in group.members:
            gone[member.layer, member.role].update(i for index in indices for i in member.channels[index])
    return {key: frozenset(indices) for key, indices in gone.items()}


def filters_of(groups: Sequence[Group]) -> int:
    """How many filters the groups have."""
    return sum(group.filters(channel) for group in groups for channel in range(group.channels))


def filters_removed(groups: Sequence[Group], channels: Mapping[str, Sequence[int]]) -> int:
    """How many filters go with these channels, over all layers: the numerator of θ."""
    return sum(len(gone) for (_, role), gone in removed(groups, channels).items() if role == "filter")


def inner(groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups that no sum of layers' outputs ties: the channels within residual blocks, or of a plain network."""
    return tuple(group for group in groups if not group.summed)


def without(groups: Sequence[Group], patterns: Sequence[str], model: nn.Module) -> tuple[Group, ...]:
    """The groups that take no filter from a layer whose name matches one of the patterns, ``layer4.*`` say.

    Raises:
        UnknownName: no layer of the model matches a pattern.
    """
    names = list(layers(model))
    for pattern in patterns:
        if not fnmatch.filter(names, pattern):
            raise UnknownName("layer", pattern, names, fix="--keep 'layer4.*'")
    kept = {name for pattern in patterns for name in fnmatch.filter(names, pattern)}
    return tuple(
        group for group in groups if not any(part.role == "filter" and part.layer in kept for part in group.members)
    )


def remove(
    model: nn.Module, example: Tensor, channels: Mapping[str, Sequence[int]], groups: Sequence[Group] | None = None
) -> nn.Module:
    """A copy of the model without these channels, by group name: its layers are smaller, nothing is masked.

    ``groups`` are those that ``find_groups(model, example)`` gave; without them they are found again, which takes
    twenty times as long as the removal.

    Raises:
        UnknownName: the model has no such group.
        HqpError: a channel that the group does not have, or all that it has.
    """
    if groups is None:
        groups = find_groups(model, example) if channels else ()
    lost = removed(groups, channels)
    smaller = copied(model)
    for name, part in _parts(smaller).items():
        gone = {role: lost.get((name, role), frozenset()) for role in ("filter", "norm", "input")}
        if any(gone.values()):
            if isinstance(part, _BatchNorm):
                _shrink_norm(part, gone["norm"])
            else:
                _shrink_layer(part, gone["filter"], gone["input"])
    _count_heads(model, smaller)
    return smaller


def grown(dense: nn.Module, smaller: nn.Module, removed: Removed) -> nn.Module:
    """The inverse of removal: ``smaller`` in the shape of the model it was made of, with zeros for what is gone.

    It gives the logits of ``smaller``.
    """
    whole, small, left = copied(dense), _parts(smaller), smaller.state_dict()
    for name, values in whole.state_dict().items():
        if name in left and left[name].shape == values.shape:
            values.copy_(left[name])
    for name, part in _parts(whole).items():
        gone = {role: removed.get((name, role), frozenset()) for role in ("filter", "norm", "input")}
        if isinstance(part, _BatchNorm):
            _grow_norm(part, small[name], gone["norm"])
        else:
            _grow_layer(part, small[name], gone["filter"], gone["input"])
    return whole


def spread(values: Mapping[str, Tensor], removed: Removed, sizes: Mapping[str, int]) -> dict[str, Tensor]:
    """One value to a filter that is left, by layer, as one to each of all its filters: 0 for those that are gone."""
    found = {}
    for name, left in values.items():
        kept = _kept(sizes.get(name, len(left)), removed.get((name, "filter"), frozenset()))
        found[name] = left.new_zeros(sizes.get(name, len(left)))
        found[name][kept] = left
    return found


# --- tracing ------------------------------------------------------------------------------------------------------


def _parts(model: nn.Module) -> dict[str, Any]:
    """The layers that removal touches, by name, in the model's order."""
    known = layers(model).keys() | norms(model).keys()
    return {name: module for name, module in model.named_modules() if name in known}


def _traced(model: nn.Module, example: Tensor, cuts: Cuts) -> tuple[Group, ...]:
    parts = _parts(model)
    try:
        found = channels(model, example, {part: order for order, part in enumerate(parts.values())}, cuts)
    except FORWARD_ERRORS as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise HqpError(
            f"the model cannot be traced: {reason}", "a module that maps a batch of images to logits"
        ) from error
    return _named(found, list(parts))


def _named(tied: Sequence[Tied], names: Sequence[str]) -> tuple[Group, ...]:
    """Groups of the channels that meet the same layers in the same roles."""
    alike: defaultdict[tuple[bool, frozenset[tuple[int, Role]]], list[Sequence[Slot]]] = defaultdict(list)
    for slots, summed in tied:
        alike[summed, frozenset((slot.order, slot.role) for slot in slots)].append(slots)
    groups: dict[str, Group] = {}
    for (summed, met), members in alike.items():
        first = first_filter(members[0])
        name = names[first.order] if names[first.order] not in groups else f"{names[first.order]}:{first.channel}"
        parts = tuple(_member(names[order], order, role, members) for order, role in sorted(met))
        groups[name] = Group(name, len(members), parts, summed)
    return tuple(groups.values())


def _member(name: str, order: int, role: Role, channels: Sequence[Sequence[Slot]]) -> Member:
    indices = (tuple(slot.channel for slot in slots if slot[:2] == (order, role)) for slots in channels)
    return Member(name, role, tuple(indices))


# --- removal ------------------------------------------------------------------------------------------------------


def _kept(count: int, gone: frozenset[int]) -> list[int]:
    return [index for index in range(count) if index not in gone]


def _taken(values: Tensor | None, kept: list[int]) -> nn.Parameter | None:
    return None if values is None else nn.Parameter(values.detach()[kept], values.requires_grad)


def _shrink_norm(norm: _BatchNorm, gone: frozenset[int]) -> None:
    kept = _kept(norm.num_features, gone)
    norm.num_features = len(kept)
    norm.weight, norm.bias = _taken(norm.weight, kept), _taken(norm.bias, kept)
    if norm.running_mean is not None and norm.running_var is not None:
        norm.running_mean, norm.running_var = norm.running_mean[kept], norm.running_var[kept]


def _count_heads(before: nn.Module, smaller: nn.Module) -> None:
    """Tells attention how many heads its layers still project."""
    for name, module in before.named_modules():
        number = attention.heads(module)
        if number is not None:
            left = smaller.get_submodule(name)
            attention.set_heads(left, number * left.qkv.out_features // module.qkv.out_features)


def _shrink_layer(layer: Layer, filters_gone: frozenset[int], inputs_gone: frozenset[int]) -> None:
    outputs = _kept(layer.weight.shape[0], filters_gone)
    layer.bias = _taken(layer.bias, outputs)
    weight = layer.weight.detach()[outputs]
    if isinstance(layer, nn.Linear):
        weight = weight[:, _kept(layer.in_features, inputs_gone)]
        layer.out_features, layer.in_features = weight.shape
    elif layer.groups == 1:
        weight = weight[:, _kept(layer.in_channels, inputs_gone)]
        layer.out_channels, layer.in_channels = weight.shape[:2]
    else:
        # Whole convolution groups go, so the weights of those that stay keep their shape.
        layer.groups = layer.groups * (layer.in_channels - len(inputs_gone)) // layer.in_channels
        layer.out_channels, layer.in_channels = len(outputs), layer.in_channels - len(inputs_gone)
    layer.weight = nn.Parameter(weight.contiguous(), layer.weight.requires_grad)


def _grow_norm(norm: _BatchNorm, smaller: _BatchNorm, gone: frozenset[int]) -> None:
    kept = _kept(norm.num_features, gone)
    for values, left, filler in (
        (norm.weight, smaller.weight, 0.0),
        (norm.bias, smaller.bias, 0.0),
        (norm.running_mean, smaller.running_mean, 0.0),
        (norm.running_var, smaller.running_var, 1.0),
    ):
        if values is not None and left is not None:
            values.data.fill_(filler)
            values.data[kept] = left.data


def _grow_layer(layer: Layer, smaller: Layer, filters_gone: frozenset[int], inputs_gone: frozenset[int]) -> None:
    outputs = _kept(layer.weight.shape[0], filters_gone)
    # Of a grouped convolution whole groups go, so the weights of those that stay keep their shape.
    inputs = _kept(layer.weight.shape[1], inputs_gone if getattr(layer, "groups", 1) == 1 else frozenset())
    weight = torch.zeros_like(layer.weight.data)
    weight[torch.tensor(outputs)[:, None], torch.tensor(inputs)] = smaller.weight.data
    layer.weight = nn.Parameter(weight, layer.weight.requires_grad)
    if smaller.bias is not None:
        bias = weight.new_zeros(len(weight))
        bias[outputs] = smaller.bias.data
        layer.bias = nn.Parameter(bias)


# --- verification -------------------------------------------------------------------------------------------------


def _culprit(model: nn.Module, groups: Sequence[Group], example: Tensor) -> str:
    """A group of which removing about a third of the channels differs from hiding them from their consumers, or ''."""
    choice = random.Random(0)
    chosen = {group.name: choice.sample(range(group.channels), -(-group.channels // 3)) for group in groups}
    chosen = {group.name: chosen[group.name] for group in groups if group.channels > 1}
    if _agree(model, example, groups, chosen):
        return ""
    alone = (name for name, channels in chosen.items() if not _agree(model, example, groups, {name: channels}))
    return next(alone, "several together")


def _randomise(model: nn.Module) -> None:
    """Weights by which every channel reaches the output, whatever training, or a NaN, made of them."""
    generator = torch.Generator().manual_seed(0)
    for part in _parts(model).values():
        if isinstance(part, _BatchNorm):
            part.reset_running_stats()
        for values in part.parameters(recurse=False):
            fan_in = max(1, values[0].numel())
            values.data = torch.randn(values.shape, generator=generator, dtype=values.dtype) * (2 / fan_in) ** 0.5


@torch.no_grad()
def _agree(model: nn.Module, example: Tensor, groups: Sequence[Group], channels: Mapping[str, Sequence[int]]) -> bool:
    masked = copied(model)
    lost = removed(groups, channels)
    for name, layer in layers(masked).items():
        if isinstance(layer, nn.Linear) or layer.groups == 1:
            layer.weight[:, sorted(lost.get((name, "input"), ()))] = 0
    try:
        expected = masked(example)
        del masked  # a large one and the other copy fill the memory
        actual = remove(model, example, channels, groups)(example)
    except FORWARD_ERRORS:
        return False
    return bool(actual.shape == expected.shape and (actual - expected).abs().max() <= AGREEMENT * expected.abs().max())
