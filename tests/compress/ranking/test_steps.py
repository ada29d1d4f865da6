"""Ranking, steps, and the whole loop with a constant importance: what must go is known, and weights are compared."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from hqp.compress.channels.finding import find_groups
from hqp.compress.channels.groups import remove
from hqp.compress.ranking.steps import ranked, steps
from hqp.compress.search.bound import search
from hqp.errors import HqpError
from hqp.records import Group, Member

torch.set_num_threads(1)

INF = float("inf")
EXAMPLE = torch.zeros(1, 3, 4, 4)


def group(name: str, channels: int, layers: int = 1) -> Group:
    """A group whose channels take one filter of each of its ``layers``."""
    indices = tuple((channel,) for channel in range(channels))
    return Group(name, channels, tuple(Member(f"{name}.{layer}", "filter", indices) for layer in range(layers)))


def scored(**scores: list[float]) -> dict[str, Any]:
    return {name: np.array(values) for name, values in scores.items()}


def test_the_ranking_is_global_and_ties_go_by_order() -> None:
    found = ranked([group("b", 3), group("a", 2)], scored(a=[1, 0], b=[1, 2, 0]))
    assert found == (("b", 2), ("a", 1), ("b", 0), ("a", 0), ("b", 1))


def test_an_infinite_score_is_never_pruned() -> None:
    found = ranked([group("a", 2), group("b", 2)], scored(a=[INF, -INF], b=[INF, INF]))
    assert found == (("a", 1),)


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        (scored(a=[1.0, float("nan")]), "the score of group 'a', channel 1, is NaN"),
        (scored(a=[1.0]), r"group 'a' has scores of shape \(1,\)"),
        (scored(b=[1.0, 2.0]), "group 'a' has no scores"),
    ],
)
def test_scores_that_cannot_be_ranked_are_refused(scores: Mapping[str, Any], message: str) -> None:
    with pytest.raises(HqpError, match=message):
        ranked([group("a", 2)], scores)


@given(st.lists(st.lists(st.floats(0, 1, width=16), min_size=1, max_size=5), max_size=4))
def test_every_channel_is_ranked_once_in_ascending_order(values: list[list[float]]) -> None:
    groups = [group(str(index), len(scores)) for index, scores in enumerate(values)]
    found = ranked(groups, {str(index): np.array(scores) for index, scores in enumerate(values)})
    order = [(values[int(name)][channel], int(name), channel) for name, channel in found]
    assert order == sorted((v, g, c) for g, scores in enumerate(values) for c, v in enumerate(scores))


def test_a_step_takes_channels_until_enough_filters_are_gone() -> None:
    groups = [group("wide", 4, layers=3), group("thin", 4)]
    ranking = (("thin", 3), ("wide", 1), ("thin", 0), ("thin", 2), ("wide", 0), ("thin", 1), ("wide", 3), ("wide", 2))
    assert steps(groups, ranking, 2) == (
        {"wide": (1,), "thin": (3,)},  # 1 + 3 filters
        {"wide": (1,), "thin": (0, 2, 3)},  # 1 + 1
        {"wide": (0, 1), "thin": (0, 2, 3)},  # 3
        {"wide": (0, 1, 3), "thin": (0, 2, 3)},  # thin keeps its last channel, so does wide
    )


def test_the_last_step_takes_what_is_left() -> None:
    ranking = tuple(("a", channel) for channel in range(4))
    assert steps([group("a", 4)], ranking, 2) == ({"a": (0, 1)}, {"a": (0, 1, 2)})


def test_steps_go_on_from_what_is_gone() -> None:
    groups = [group("wide", 4, layers=3), group("thin", 4)]
    ranking = (("thin", 3), ("wide", 1), ("thin", 0), ("thin", 2), ("wide", 0), ("thin", 1), ("wide", 3), ("wide", 2))
    start = {"wide": (1,), "thin": (3,)}
    assert steps(groups, ranking, 2, start=start) == steps(groups, ranking, 2)[1:]
    assert steps(groups, (("thin", 3),), 2, start=start) == ()


def test_no_ranking_no_steps() -> None:
    assert steps([group("a", 4)], (), 2) == ()


def test_a_step_of_nothing_is_refused() -> None:
    with pytest.raises(HqpError, match="a pruning step of 0 filters"):
        steps([group("a", 4)], (), 0)


@given(
    st.lists(st.tuples(st.integers(1, 6), st.integers(1, 3)), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.integers(1, 9),
)
def test_steps_are_cumulative_and_in_the_order_of_the_list(shapes: list[tuple[int, int]], rng: Any, size: int) -> None:
    groups = [group(str(index), channels, layers) for index, (channels, layers) in enumerate(shapes)]
    ranking = [(each.name, channel) for each in groups for channel in range(each.channels)]
    rng.shuffle(ranking)
    by_name = {each.name: each for each in groups}
    gone = [[(name, c) for name, channels in step.items() for c in channels] for step in steps(groups, ranking, size)]
    filters = [sum(by_name[name].filters(channel) for name, channel in each) for each in gone]
    last = {name: next(channel for at, channel in reversed(ranking) if at == name) for name in by_name}
    allowed = [pair for pair in ranking if last[pair[0]] != pair[1]]
    before = 0
    for index, each in enumerate(gone):
        assert set(each) == set(allowed[: len(each)])
        assert filters[index] - before >= size or (index == len(gone) - 1 and len(each) == len(allowed))
        lightest = by_name[allowed[len(each) - 1][0]].filters(0)
        assert filters[index] - before < size + lightest
        before = filters[index]
    assert not allowed or len(gone[-1]) == len(allowed)


def test_channels_that_stay_are_a_multiple() -> None:
    groups = [group("a", 10), group("b", 8)]
    ranking = (*(("a", channel) for channel in (7, 1, 9, 3, 5, 0, 2)), *(("b", channel) for channel in (4, 5, 0, 2)))
    found = steps(groups, ranking, 1, multiple=4)
    # Of 10 channels two can go at once, then four more; 8 are left whole until they can become 4.
    assert found == ({"a": (1, 7)}, {"a": (0, 1, 3, 5, 7, 9)}, {"a": (0, 1, 3, 5, 7, 9), "b": (0, 2, 4, 5)})
    with pytest.raises(HqpError, match="channels in multiples of 0"):
        steps(groups, ranking, 1, multiple=0)


@pytest.mark.parametrize(("channels", "counts"), [(48, [32, 16]), (32, [16]), (4, [3, 2, 1]), (1, [])])
def test_a_group_of_fewer_than_two_blocks_counts_one_by_one(channels: int, counts: list[int]) -> None:
    ranking = tuple(("a", channel) for channel in range(channels))
    found = steps([group("a", channels)], ranking, 1, multiple=16)
    assert [channels - len(removal["a"]) for removal in found] == counts


@given(
    st.lists(st.tuples(st.integers(1, 20), st.integers(1, 3)), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
    st.integers(1, 9),
    st.integers(1, 8),
)
def test_multiples_are_cumulative_too(shapes: list[tuple[int, int]], rng: Any, size: int, multiple: int) -> None:
    groups = [group(str(index), channels, layers) for index, (channels, layers) in enumerate(shapes)]
    ranking = [(each.name, channel) for each in groups for channel in range(each.channels)]
    rng.shuffle(ranking)
    before: set[tuple[str, int]] = set()
    for removal in steps(groups, ranking, size, multiple):
        gone = {(name, channel) for name, channels in removal.items() for channel in channels}
        assert before < gone
        for each in groups:
            left = each.channels - len(removal.get(each.name, ()))
            assert left == each.channels or left % multiple == 0 or each.channels < 2 * multiple
            assert left > 0
        before = gone


class Tiny(nn.Module):
    """Two convolutions with a shortcut over the second, and a third."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 5, 3, padding=1, bias=False), nn.BatchNorm2d(5)
        self.second = nn.Conv2d(5, 5, 3, padding=1)
        self.third = nn.Conv2d(5, 4, 1)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.first(x)))
        x = torch.relu(self.third(torch.relu(x + self.second(x))))
        return self.head(x.mean((2, 3)))


@cache
def tiny() -> tuple[Tiny, tuple[Group, ...]]:
    torch.manual_seed(0)
    model = Tiny().eval()
    return model, find_groups(model, EXAMPLE)


@settings(deadline=None)
@given(
    st.permutations(range(5)),
    st.permutations(range(4)),
    st.booleans(),
    st.integers(1, 4),
    st.integers(0, 20),
    st.sampled_from(["linear", "galloping"]),
)
def test_the_loop_with_a_constant_importance(
    stream: list[int], last: list[int], stream_first: bool, size: int, limit: int, how: Any
) -> None:
    """Importance is a given order; the bound holds up to a given number of filters. So what survives is known."""
    model, groups = tiny()
    assert [(each.name, each.channels, each.filters(0)) for each in groups] == [("first", 5, 2), ("third", 4, 1)]
    scores = scored(first=np.argsort(stream) + (0 if stream_first else 9), third=np.argsort(last) + 4)
    removals = ({}, *steps(groups, ranked(groups, scores), size))

    def holds(step: int) -> bool:
        smaller = remove(model, removals[step], groups)
        return 14 - sum(layer.out_channels for layer in (smaller.first, smaller.second, smaller.third)) <= limit

    kept = removals[search(holds, len(removals) - 1, how)]
    smaller = remove(model, kept, groups)

    # The same by hand: channels in order, all but each group's last, in steps of `size` filters, up to `limit`.
    orders = [[("first", c) for c in stream[:-1]], [("third", c) for c in last[:-1]]]
    # The stream scores 0 to 4, the third 4 to 7; or the stream 9 to 13.
    queue = orders[0] + orders[1] if stream_first else orders[1] + orders[0]
    gone: list[tuple[str, int]] = []
    while queue:
        step, filters = list[tuple[str, int]](), 0
        while queue and filters < size:
            step.append(queue.pop(0))
            filters += 2 if step[-1][0] == "first" else 1
        if sum(2 if name == "first" else 1 for name, _ in gone + step) > limit:
            break
        gone += step
    streams = [c for c in range(5) if ("first", c) not in gone]
    thirds = [c for c in range(4) if ("third", c) not in gone]

    assert torch.equal(smaller.first.weight, model.first.weight[streams])
    assert torch.equal(smaller.norm.bias, model.norm.bias[streams])
    assert torch.equal(smaller.second.weight, model.second.weight[streams][:, streams])
    assert torch.equal(smaller.second.bias, model.second.bias[streams])
    assert torch.equal(smaller.third.weight, model.third.weight[thirds][:, streams])
    assert torch.equal(smaller.head.weight, model.head.weight[:, thirds])
    assert torch.equal(smaller.head.bias, model.head.bias)
