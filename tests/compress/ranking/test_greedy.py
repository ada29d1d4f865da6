"""Which channels go next, where what they save depends on what is gone: known by hand, and by trying every choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.compress.ranking.greedy import Remaining, ranked, taken
from hqp.errors import HqpError
from hqp.records import Group, Member

INF = float("inf")


@dataclass
class Products:
    """A layer takes the product of its filters and inputs, its filters rounded up to a multiple."""

    sizes: Mapping[str, tuple[int, int]]
    multiple: int = 1
    blocks: tuple[int, ...] = ()
    asked: list[str] = field(default_factory=list)

    def of(self, layer: str, filters: int, inputs: int) -> float:
        self.asked.append(layer)
        return float(-(-filters // self.multiple) * self.multiple * inputs)


def chain(*widths: int) -> tuple[Group, ...]:
    """Groups of a plain network of so wide layers: a filter of each is an input of the next."""

    def of(index: int, width: int) -> Group:
        channels = tuple((channel,) for channel in range(width))
        members = (
            Member(str(index), "filter", channels),
            Member(f"norm {index}", "norm", channels),
            Member(str(index + 1), "input", channels),
        )
        return Group(f"g{index}", width, members)

    return tuple(of(index, width) for index, width in enumerate(widths))


def sizes(*widths: int, images: int = 3, classes: int = 2) -> dict[str, tuple[int, int]]:
    inputs = (images, *widths)
    return {str(index): size for index, size in enumerate(zip((*widths, classes), inputs, strict=True))}


def scored(**scores: list[float]) -> dict[str, Any]:
    return {name: np.array(values, dtype=float) for name, values in scores.items()}


def test_a_channel_saves_its_filter_and_the_inputs_behind_of_what_is_left() -> None:
    costs = Products(sizes(4, 5))
    remaining = Remaining(chain(4, 5), costs.sizes)
    assert taken(costs, remaining.left) == 4 * 3 + 5 * 4 + 2 * 5
    assert remaining.saved(costs, "g0", [0]) == 3 + 5 and remaining.saved(costs, "g1", [0]) == 4 + 2
    remaining.remove("g0", [0, 1])
    assert remaining.saved(costs, "g1", [3, 4]) == 2 * (2 + 2)
    assert taken(costs, remaining.left) == 2 * 3 + 5 * 2 + 2 * 5
    assert Remaining(chain(4, 5), costs.sizes, {"g0": (0, 1)}).left == remaining.left


def test_a_layer_that_loses_filters_and_inputs_to_one_group_saves_both_once() -> None:
    channels = tuple((channel,) for channel in range(4))
    summed = Group("sum", 4, (Member("a", "filter", channels), Member("a", "input", channels)), summed=True)
    costs = Products({"a": (4, 4)})
    assert Remaining([summed], costs.sizes).saved(costs, "sum", [0]) == 16 - 9


def test_the_order_follows_what_is_left_to_save() -> None:
    # A channel of g0 saves 3 + 4 = 7 at first, 3 + 3 once g1 has lost one; one of g1 saves 2 + 2, then 1 + 2.
    losses = scored(g0=[8, 9], g1=[4, 4.2, 50, 60])
    order = ranked(chain(2, 4), losses, Products(sizes(2, 4)))
    # 4/4 < 8/7; of the three that are left of four each matters more: 8/6 < 4.2 * 4/3 / 4; then the rest.
    assert order == (("g1", 0), ("g0", 0), ("g1", 1), ("g1", 2))


def test_what_is_gone_already_is_not_saved_again() -> None:
    losses = scored(g0=[8, 9, 1], g1=[4, 4.2, 50, 60])
    order = ranked(chain(3, 4), losses, Products(sizes(3, 4)), start={"g0": (2,)})
    assert order == (("g1", 0), ("g1", 1), ("g0", 0), ("g1", 2))


def test_a_whole_block_goes_where_only_its_last_channel_saves() -> None:
    groups, losses = chain(8, 8), scored(g0=[1] * 8, g1=[0.1] + [2] * 7)
    stairs = Products(sizes(8, 8, images=1, classes=0), multiple=4, blocks=(4,))
    # The next of g1 alone saves nothing; four of g0 save 4 + 8 * 4 at a loss of 4, four of g1 only 4 * 4 at 6.1.
    assert ranked(groups, losses, stairs)[:4] == (("g0", 0), ("g0", 1), ("g0", 2), ("g0", 3))


def test_a_channel_that_scores_infinity_stays_and_so_does_the_last() -> None:
    order = ranked(chain(3, 2), scored(g0=[INF, 1, 2], g1=[3, INF]), Products(sizes(3, 2)))
    assert sorted(order) == [("g0", 1), ("g0", 2), ("g1", 0)]
    assert len(ranked(chain(3), scored(g0=[1, 2, 3]), Products(sizes(3)))) == 2


def test_what_saves_nothing_goes_last_by_its_loss() -> None:
    free = Group("free", 3, (Member("norm", "norm", ((0,), (1,), (2,))),))
    order = ranked((free, *chain(2)), scored(free=[2, 1, 3], g0=[1e3, 1e4]), Products(sizes(2)))
    assert order == (("g0", 0), ("free", 1), ("free", 0))


def test_scores_that_cannot_be_ranked_are_refused() -> None:
    with pytest.raises(HqpError, match="the score of group 'g0', channel 1, is NaN"):
        ranked(chain(2), scored(g0=[1, float("nan")]), Products(sizes(2)))


@given(st.lists(st.lists(st.floats(0.125, 1, width=16), min_size=1, max_size=5), min_size=1, max_size=4))
def test_each_is_the_best_of_all_that_could_go_next(values: list[list[float]]) -> None:
    groups = chain(*map(len, values))
    losses = scored(**{f"g{index}": scores for index, scores in enumerate(values)})
    costs = Products(sizes(*map(len, values)))
    remaining = Remaining(groups, costs.sizes)
    left = {group.name: list(range(group.channels)) for group in groups}
    whole = {group.name: group.channels for group in groups}
    for name, channel in ranked(groups, losses, costs):
        ratios = {
            (one, each): losses[one][each] * (whole[one] / len(channels)) / remaining.saved(costs, one, [each])
            for one, channels in left.items()
            for each in channels
            if len(channels) > 1
        }
        assert ratios[name, channel] == min(ratios.values())
        remaining.remove(name, [channel])
        left[name].remove(channel)
    assert all(len(channels) == 1 for channels in left.values())
