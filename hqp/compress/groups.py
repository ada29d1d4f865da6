"""Dependency groups: which channels can only go together, and their physical removal.

The graph is torch-pruning's DepGraph (G. Fang et al., arXiv 2301.12900), and this is the only file that imports it.
Taken from it are the traced nodes, their edges and each edge's index mapping; the closure over channels is computed
here. What of torch-pruning 1.6.1 is not relied on, and why:

* ``get_pruning_group`` keeps one of two channels that arrive at one index (``Group.add_and_merge``): a tie is lost;
* the network's input is no node, so channels added to the image, or concatenated with it, look free: an entry layer
  stands before the model here; nor is its output one where a layer gives it: a negation stands behind;
* a tensor as ``example_inputs`` is first unpacked along the batch (``_trace``): a tuple is passed;
* a grouped convolution keeps its first group's inputs whatever is removed (``ConvPruner.prune_in_channels``): here its
  convolution groups go as a whole, a depthwise layer being the case of one channel each;
* unknown operations pass for element-wise ones, and mappings can be wrong (VainF/Torch-Pruning issues 415, 481, 532):
  ``find_groups`` removes channels once, compares with the masked model, and refuses a model on which the two differ.
"""

from __future__ import annotations

import copy
import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hqp.compress.statistics import Layer, layers, norms
from hqp.errors import HqpError, UnknownName
from hqp.records import Group, Member

Role = Literal["filter", "norm", "input"]
Removed = Mapping[tuple[str, str], frozenset[int]]

# What torch-pruning, or a forward pass on a wrong shape, raises on a model it cannot follow.
TRACING_ERRORS = (RuntimeError, ValueError, TypeError, LookupError, AttributeError, AssertionError, ArithmeticError)

# Removing and masking agree to about 1e-14 in float64; a wrong index shows in the first digits.
AGREEMENT = 1e-9


class _Slot(NamedTuple):
    """One channel of one layer in one role; ``order`` is the layer's place in the model."""

    order: int
    role: Role
    channel: int


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
    return {name: layer.weight.shape[0] for name, layer in layers(model).items() if name != last}


def find_groups(model: nn.Module, example: Tensor) -> tuple[Group, ...]:
    """The dependency groups of a model, each channel that can go in exactly one of them, in the model's own order.

    ``example`` is one batch of the network's input. A group is named after its first layer, with ``:index`` where an
    earlier group starts in the same layer. Left out are channels that cannot go: the classifier's outputs, those tied
    to the network's input, and those that meet a layer or an operation other than convolution, linear, batch norm,
    concatenation, flattening and element-wise arithmetic.

    Raises:
        HqpError: the model cannot be traced, or removing channels differs from masking them.
    """
    traced = copy.deepcopy(model).cpu().float().eval().requires_grad_(True)
    probe = torch.rand(example.shape, generator=torch.Generator().manual_seed(0))
    try:
        with torch.enable_grad():
            channels = _channels(traced, probe)
    except TRACING_ERRORS as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise HqpError(
            f"the model cannot be traced: {reason}", "a module that maps a batch of images to logits"
        ) from error
    groups = _named(channels, list(_parts(traced)))
    last = output_layer(model)
    if any(member.layer == last and member.role == "filter" for group in groups for member in group.members):
        raise HqpError(f"layer '{last}', declared last, does not give the logits", "a classifier whose last layer does")
    _verify(traced.double(), groups, probe.double())
    return groups


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
    removed = _removed(groups, channels)
    smaller = copy.deepcopy(model)
    for name, part in _parts(smaller).items():
        gone = {role: removed.get((name, role), frozenset()) for role in ("filter", "norm", "input")}
        if any(gone.values()):
            if isinstance(part, _BatchNorm):
                _shrink_norm(part, gone["norm"])
            else:
                _shrink_layer(part, gone["filter"], gone["input"])
    return smaller


# --- tracing ------------------------------------------------------------------------------------------------------


def _parts(model: nn.Module) -> dict[str, Any]:
    """The layers that removal touches, by name, in the model's order."""
    known = layers(model).keys() | norms(model).keys()
    return {name: module for name, module in model.named_modules() if name in known}


def _channels(model: nn.Module, example: Tensor) -> list[list[_Slot]]:
    """Every set of slots that can only go together, sorted within, in the order of its first filter."""
    graph = _graph(model, example)
    order = {part: index for index, part in enumerate(_parts(model).values())}
    joined, stays, searched = _Joined(), set[_Slot](), set[_Slot]()
    for layer in layers(model).values():
        for start, slot in _ties(layer, order[layer]):
            joined.join(start, slot)
        starts = [_Slot(order[layer], "filter", index) for index in range(layer.weight.shape[0])]
        # Edges lead both ways, so a channel that an earlier search came to has nothing new to tell.
        for channel, met in _reached(graph, layer, [slot.channel for slot in starts if slot not in searched], order):
            if met is None:
                stays.add(starts[channel])
            else:
                joined.join(starts[channel], met)
                searched.add(met)
    sets = [sorted(slots) for slots in joined.sets() if stays.isdisjoint(slots)]
    return sorted((slots for slots in sets if any(slot.role == "filter" for slot in slots)), key=_first_filter)


def _first_filter(slots: Sequence[_Slot]) -> _Slot:
    return next(slot for slot in slots if slot.role == "filter")


def _graph(model: nn.Module, example: Tensor) -> Any:
    import torch_pruning

    entry = nn.Conv2d(example.shape[1], example.shape[1], 1)
    whole = nn.Sequential(entry, model)
    return torch_pruning.DependencyGraph().build_dependency(
        whole, (example,), output_transform=torch.neg, verbose=False
    )


def _ties(layer: Layer, order: int) -> Iterator[tuple[_Slot, _Slot]]:
    """What ties a grouped convolution's inputs and outputs: each of its convolution groups goes as a whole."""
    if isinstance(layer, nn.Linear) or layer.groups == 1:
        return
    outputs, inputs = layer.out_channels // layer.groups, layer.in_channels // layer.groups
    for group in range(layer.groups):
        start = _Slot(order, "filter", group * outputs)
        yield from ((start, _Slot(order, "filter", start.channel + index)) for index in range(outputs))
        yield from ((start, _Slot(order, "input", group * inputs + index)) for index in range(inputs))


def _reached(
    graph: Any, layer: Layer, channels: Sequence[int], order: Mapping[Any, int]
) -> Iterator[tuple[int, _Slot | None]]:
    """For each of a layer's output channels the slots that go with it; ``None`` where something makes it stay."""
    from torch_pruning._helpers import _HybridIndex

    if layer not in graph.module2node:
        return
    start = graph.module2node[layer], graph.get_pruner_of_module(layer).prune_out_channels
    stack = [(*start, [_HybridIndex(channel, channel) for channel in channels])]
    widest = sum(part.weight.shape[0] + part.weight.shape[1] for part in order if not isinstance(part, _BatchNorm))
    seen: defaultdict[Any, set[Any]] = defaultdict(set)
    while stack:
        node, prune, indices = stack.pop()
        # A wrong mapping on a cycle would shift indices for ever (issue 532).
        if any(at.idx > widest for at in indices):
            raise IndexError(f"a channel beyond every layer of the model, at {node.name}")
        fresh = [at for at in dict.fromkeys(indices) if at not in seen[node, prune]]
        if not fresh:
            continue
        seen[node, prune].update(fresh)
        role = _role(graph, node, prune, order)
        if role == "fixed":
            yield from ((at.root_idx, None) for at in fresh)
        elif role != "through":
            yield from ((at.root_idx, _slot(node.module, role, at.idx, order)) for at in fresh)
        edges = (edge for edge in node.dependencies if edge.is_triggered_by(prune))
        stack.extend((edge.target, edge.handler, _mapped(edge, fresh)) for edge in edges)


def _mapped(edge: Any, indices: list[Any]) -> list[Any]:
    for mapping in edge.index_mapping:
        indices = indices if mapping is None else mapping(indices)
    return indices


def _role(graph: Any, node: Any, prune: Any, order: Mapping[Any, int]) -> Role | Literal["through", "fixed"]:
    """What a channel does at a node: it is a layer's, passes through, or is held in place."""
    from torch_pruning.ops import OPTYPE

    module = node.module
    if module in order:
        if isinstance(module, _BatchNorm):
            return "norm"
        return "filter" if prune == graph.get_pruner_of_module(module).prune_out_channels else "input"
    if node.type in (OPTYPE.ELEMENTWISE, OPTYPE.CONCAT, OPTYPE.RESHAPE):
        return "through"
    return "through" if isinstance(module, nn.PReLU) and module.num_parameters == 1 else "fixed"


def _slot(part: Any, role: Role, index: int, order: Mapping[Any, int]) -> _Slot:
    if isinstance(part, _BatchNorm):
        width = part.num_features
    elif isinstance(part, nn.Linear):
        width = part.out_features if role == "filter" else part.in_features
    else:
        width = part.out_channels if role == "filter" else part.in_channels
    if not 0 <= index < width:
        raise IndexError(f"channel {index} of {width} of {part}")
    return _Slot(order[part], role, index)


class _Joined:
    """Disjoint sets of slots, joined two by two."""

    def __init__(self) -> None:
        self._parent: dict[_Slot, _Slot] = {}

    def join(self, one: _Slot, other: _Slot) -> None:
        """Puts two slots, known or new, into one set."""
        self._parent[self._root(one)] = self._root(other)

    def _root(self, slot: _Slot) -> _Slot:
        parent = self._parent.setdefault(slot, slot)
        while parent != slot:
            # Halving the path keeps chains short.
            self._parent[slot] = self._parent[parent]
            slot, parent = parent, self._parent[parent]
        return slot

    def sets(self) -> list[set[_Slot]]:
        """The sets as they stand."""
        found: defaultdict[_Slot, set[_Slot]] = defaultdict(set)
        for slot in self._parent:
            found[self._root(slot)].add(slot)
        return list(found.values())


def _named(channels: Sequence[Sequence[_Slot]], names: Sequence[str]) -> tuple[Group, ...]:
    """Groups of the channels that meet the same layers in the same roles."""
    alike: defaultdict[frozenset[tuple[int, Role]], list[Sequence[_Slot]]] = defaultdict(list)
    for slots in channels:
        alike[frozenset((slot.order, slot.role) for slot in slots)].append(slots)
    groups: dict[str, Group] = {}
    for met, members in alike.items():
        first = _first_filter(members[0])
        name = names[first.order] if names[first.order] not in groups else f"{names[first.order]}:{first.channel}"
        parts = tuple(_member(names[order], order, role, members) for order, role in sorted(met))
        groups[name] = Group(name, len(members), parts)
    return tuple(groups.values())


def _member(name: str, order: int, role: Role, channels: Sequence[Sequence[_Slot]]) -> Member:
    indices = (tuple(slot.channel for slot in slots if slot[:2] == (order, role)) for slots in channels)
    return Member(name, role, tuple(indices))


# --- removal ------------------------------------------------------------------------------------------------------


def _removed(groups: Sequence[Group], channels: Mapping[str, Sequence[int]]) -> Removed:
    """The indices that go, by layer and role."""
    by_name = {group.name: group for group in groups}
    removed: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
    for name, indices in channels.items():
        if name not in by_name:
            raise UnknownName("group", name, by_name)
        group = by_name[name]
        if not set(indices) <= set(range(group.channels)) or len(set(indices)) == group.channels:
            asked = f"channels {sorted(set(indices))} of group '{name}' cannot go"
            raise HqpError(asked, f"some, not all, of its channels 0 to {group.channels - 1}")
        for member in group.members:
            removed[member.layer, member.role].update(i for index in indices for i in member.channels[index])
    return {key: frozenset(indices) for key, indices in removed.items()}


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


# --- verification -------------------------------------------------------------------------------------------------


def _verify(model: nn.Module, groups: Sequence[Group], example: Tensor) -> None:
    """Raises unless removing about a third of every group's channels equals hiding them from their consumers."""
    _randomise(model)
    choice = random.Random(0)
    chosen = {group.name: choice.sample(range(group.channels), -(-group.channels // 3)) for group in groups}
    chosen = {group.name: chosen[group.name] for group in groups if group.channels > 1}
    if _agree(model, example, groups, chosen):
        return
    alone = (name for name, channels in chosen.items() if not _agree(model, example, groups, {name: channels}))
    culprit = next(alone, "several together")
    raise HqpError(
        f"removing channels of group '{culprit}' differs from masking them: torch-pruning misreads the model",
        "channels joined by addition, multiplication and torch.cat, without fixed sizes in reshape or slices",
    )


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
    masked = copy.deepcopy(model)
    removed = _removed(groups, channels)
    for name, layer in layers(masked).items():
        if isinstance(layer, nn.Linear) or layer.groups == 1:
            layer.weight[:, sorted(removed.get((name, "input"), ()))] = 0
    try:
        expected = masked(example)
        actual = remove(model, example, channels, groups)(example)
    except TRACING_ERRORS:
        return False
    return bool(actual.shape == expected.shape and (actual - expected).abs().max() <= AGREEMENT * expected.abs().max())
