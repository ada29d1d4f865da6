"""Limits: which channels a policy's shares hold back, exactly, whatever is gone already."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.compress.ranking import limits, steps
from hqp.errors import HqpError
from hqp.records import Group, Member

NEVER = float("inf")


def group(name: str, channels: int, *layers: str) -> Group:
    each = tuple((channel,) for channel in range(channels))
    consumer = Member("behind", "input", each)
    return Group(name, channels, (*(Member(layer, "filter", each) for layer in layers), consumer))


def test_a_layer_has_the_share_of_its_own_name_else_of_the_longest_pattern_else_all() -> None:
    at_most = {"layer1.*": 0.5, "layer1.0.*": 0.25, "layer1.0.conv2": 0.0}
    asked = ("layer1.0.conv2", "layer1.0.conv1", "layer1.1.conv1", "conv1")
    assert [limits.share(at_most, layer) for layer in asked] == [0.0, 0.25, 0.5, 1.0]


def test_the_channels_that_go_last_are_held_back() -> None:
    groups = (group("a", 4, "a"), group("b", 3, "b"))
    scores = {"a": np.array([3.0, 1.0, 2.0, 0.5]), "b": np.array([1.0, 2.0, 3.0])}
    found = limits.limited(groups, scores, {"a": 0.5}, {})
    assert found["a"].tolist() == [NEVER, 1.0, NEVER, 0.5] and found["b"].tolist() == [1.0, 2.0, 3.0]
    assert scores["a"].tolist() == [3.0, 1.0, 2.0, 0.5]


def test_what_is_gone_counts() -> None:
    scores = {"a": np.array([3.0, 1.0, 2.0, 0.5])}
    found = limits.limited((group("a", 4, "a"),), scores, {"a": 0.5}, {"a": (0,)})
    assert found["a"].tolist() == [3.0, NEVER, NEVER, 0.5]
    assert limits.limited((group("a", 4, "a"),), scores, {"a": 0.25}, {"a": (0, 1)})["a"][2:].tolist() == [NEVER, NEVER]


def test_of_layers_that_are_tied_the_least_share_counts() -> None:
    scores = {"sum": np.arange(8.0)}
    found = limits.limited(
        (group("sum", 8, "left", "right"),), scores, {"left": 0.75, "right": 0.25, "behind": 0.0}, {}
    )
    assert np.isfinite(found["sum"]).sum() == 2


@given(st.integers(1, 40), st.integers(0, 40))
def test_the_share_that_is_gone_of_a_layer_lets_just_as_much_go(channels: int, gone: int) -> None:
    gone = min(gone, channels)
    share = round(gone / channels, 4)
    found = limits.limited((group("a", channels, "a"),), {"a": np.arange(float(channels))}, {"a": share}, {})
    assert np.isfinite(found["a"]).sum() == gone
    assert len(steps.ranked((group("a", channels, "a"),), found)) == gone


def test_a_score_that_is_no_number_is_still_refused() -> None:
    with pytest.raises(HqpError, match="channel 1, is NaN"):
        limits.limited((group("a", 2, "a"),), {"a": np.array([1.0, np.nan])}, {"a": 0.0}, {})
