"""What goes with a channel of a group: its filters, and their multiply-adds."""

from __future__ import annotations

from hqp.records import Group, Member, Statistics

GROUP = Group(
    "conv",
    2,
    (
        Member("conv", "filter", ((0,), (1, 2))),
        Member("norm", "norm", ((0,), (1, 2))),
        Member("next", "input", ((0,), (1, 2))),
    ),
)


def test_filters_are_counted_and_neither_norms_nor_inputs() -> None:
    assert [GROUP.filters(channel) for channel in range(2)] == [1, 2]


def test_multiply_adds_are_those_of_the_filters_and_of_the_inputs_behind() -> None:
    statistics = Statistics({}, {}, filter_macs={"conv": 100.0}, input_macs={"next": 7.0})
    assert [statistics.macs(GROUP, channel) for channel in range(2)] == [107.0, 214.0]
