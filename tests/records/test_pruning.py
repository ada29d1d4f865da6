"""What goes with a channel of a group: its filters."""

from __future__ import annotations

from hqp.records import Group, Member

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
