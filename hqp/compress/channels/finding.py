"""Finding dependency groups: ``tracing/`` follows channels, and what it found is put to the test before it is used.

Some channels of every group are removed and compared with the model in which they are masked. A group on which the two
differ loses nothing: the code counts on the number of its channels.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from hqp.compress.channels.groups import filters_of, parts, remove, removed
from hqp.compress.channels.tracing.labels import Cuts
from hqp.compress.channels.tracing.tracer import Role, Slot, Tied, channels, first_filter
from hqp.compress.network.contract import FORWARD_ERRORS
from hqp.compress.network.copies import copied
from hqp.compress.network.layers import layers
from hqp.compress.network.usage import untraceable, usage
from hqp.records import Group, Member

# Most code that cuts through channels does so by shares; what does not is traced again with these channels fixed.
CUTS = (
    Cuts(even_parts=True, even_views=True),
    Cuts(even_parts=False, even_views=True),
    Cuts(even_parts=True, even_views=False),
    Cuts(even_parts=False, even_views=False),
)

# So many names are told of what loses nothing.
SHOWN = 3

# Removing and masking agree to about 1e-14 in float64; a wrong index shows in the first digits.
AGREEMENT = 1e-9

Held = Mapping[nn.Module, tuple[Role, ...]]
FILTERS: tuple[Role, ...] = ("filter",)
ALL: tuple[Role, ...] = ("filter", "input", "norm")


def find_groups(model: nn.Module, example: Tensor, say: Callable[[str], None] = lambda line: None) -> tuple[Group, ...]:
    """The dependency groups of a model, each channel that can go in exactly one of them, in the model's own order.

    ``example`` is one batch of the network's input. A group is named after its first layer, with ``:index`` where an
    earlier group starts in the same layer. Left out are channels that cannot go: the classifier's outputs, those tied
    to the network's input, those of layers that work in several places, those that meet an operation of which it is not
    known that it keeps channels apart, and those that code counts on by number. ``say`` is told the last three.

    Raises:
        HqpError: the model cannot be traced.
    """
    traced = copied(model).cpu().double().eval()
    probe = torch.rand(example.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    _randomise(traced)
    held = _held(traced, probe, say)
    candidates = []
    for cuts in CUTS:
        groups = _traced(traced, probe, cuts, held)
        if _agree(traced, probe, groups, _third(groups)):
            return groups
        candidates.append(groups)
    return _largest_sound(traced, probe, candidates, say)


def _held(model: nn.Module, example: Tensor, say: Callable[[str], None]) -> Held:
    """What layers do not lose: filters that give the logits, or work in several places, and there inputs as well."""
    used = usage(model, example)
    held = dict.fromkeys(used.again, FILTERS) | dict.fromkeys(used.shared, ALL)
    if held:
        again = {name: f"is called {times} times" for name, times in used.again.items()}
        reasons = {**again, **used.shared}
        named = [f"'{name}' {why}" for name, why in reasons.items()]
        say(f"kept whole, since their weights work in several places: {_some(named)}")
    held.setdefault(used.last, FILTERS)
    return {model.get_submodule(name): roles for name, roles in held.items()}


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"{', '.join(names[:SHOWN])}{more}"


def _traced(model: nn.Module, example: Tensor, cuts: Cuts, held: Held) -> tuple[Group, ...]:
    by_name = parts(model)
    try:
        tied = channels(model, example, {part: order for order, part in enumerate(by_name.values())}, cuts, held)
    except FORWARD_ERRORS as error:
        raise untraceable(error) from error
    groups = _named(tied, list(by_name))
    return tuple(group for group in groups if group.channels > 1)  # of a single one nothing can go


def _named(tied: Sequence[Tied], names: Sequence[str]) -> tuple[Group, ...]:
    """Groups of the channels that meet the same layers in the same roles; ``names`` are those of the layers."""
    alike: defaultdict[tuple[bool, frozenset[tuple[int, Role]]], list[Sequence[Slot]]] = defaultdict(list)
    for slots, summed in tied:
        met = frozenset((slot.order, slot.role) for slot in slots)
        alike[summed, met].append(slots)

    groups: dict[str, Group] = {}
    for (summed, met), every_channel in alike.items():
        first = first_filter(every_channel[0])
        name = names[first.order]
        # An earlier group starts in the same layer: this one says at which of its filters it starts.
        if name in groups:
            name = f"{name}:{first.channel}"
        members = tuple(_member(names[order], order, role, every_channel) for order, role in sorted(met))
        groups[name] = Group(name, len(every_channel), members, summed)
    return tuple(groups.values())


def _member(name: str, order: int, role: Role, channels: Sequence[Sequence[Slot]]) -> Member:
    """What a layer has of each channel of a group: the indices of its filters, inputs or scales."""
    indices = []
    for slots in channels:
        mine = (slot.channel for slot in slots if (slot.order, slot.role) == (order, role))
        indices.append(tuple(mine))
    return Member(name, role, tuple(indices))


# --- verification -------------------------------------------------------------------------------------------------


def _largest_sound(
    model: nn.Module, example: Tensor, candidates: Sequence[Sequence[Group]], say: Callable[[str], None]
) -> tuple[Group, ...]:
    """The candidate that has most filters left without the groups of which removal is not exact."""
    sound = [_sound(model, example, groups) for groups in candidates]
    best = max(range(len(sound)), key=lambda number: filters_of(sound[number]))
    left = {group.name for group in sound[best]}
    names = [f"'{group.name}'" for group in candidates[best] if group.name not in left]
    say(f"kept whole, since the code counts on the number of their channels: {_some(names)}")
    return sound[best]


def _sound(model: nn.Module, example: Tensor, groups: Sequence[Group]) -> tuple[Group, ...]:
    """The groups of which removal is exact, all at once, found by halving; where halves disagree, of the larger."""
    if _agree(model, example, groups, _third(groups)):
        return tuple(groups)
    if len(groups) == 1:
        return ()
    middle = len(groups) // 2
    halves = [_sound(model, example, half) for half in (groups[:middle], groups[middle:])]
    both = (*halves[0], *halves[1])
    if _agree(model, example, both, _third(both)):
        return both
    return max(halves, key=filters_of)


def _third(groups: Sequence[Group]) -> dict[str, list[int]]:
    """About a third of the channels of each group."""
    choice = random.Random(0)
    return {group.name: choice.sample(range(group.channels), -(-group.channels // 3)) for group in groups}


def _randomise(model: nn.Module) -> None:
    """Weights by which every channel reaches the output, whatever training, or a NaN, made of them."""
    generator = torch.Generator().manual_seed(0)
    for part in parts(model).values():
        if isinstance(part, _BatchNorm):
            part.reset_running_stats()
        for values in part.parameters(recurse=False):
            fan_in = max(1, values[0].numel())
            values.data = torch.randn(values.shape, generator=generator, dtype=values.dtype) * (2 / fan_in) ** 0.5


@torch.no_grad()
def _agree(model: nn.Module, example: Tensor, groups: Sequence[Group], channels: Mapping[str, Sequence[int]]) -> bool:
    """Whether removing these channels gives what hiding them from their consumers gives."""
    masked = copied(model)
    lost = removed(groups, channels)
    for name, layer in layers(masked).items():
        if isinstance(layer, nn.Linear) or layer.groups == 1:
            layer.weight[:, sorted(lost.get((name, "input"), ()))] = 0
    try:
        expected = masked(example)
        del masked  # a large one and the other copy fill the memory
        actual = remove(model, channels, groups)(example)
    except FORWARD_ERRORS:
        return False
    return bool(actual.shape == expected.shape and (actual - expected).abs().max() <= AGREEMENT * expected.abs().max())
