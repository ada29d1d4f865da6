"""What goes with a channel of a group, and what is said of a block that became something simpler."""

from __future__ import annotations

import pytest

from hqp.records import Group, Member, Replaced, Simplified

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


@pytest.mark.parametrize(
    ("saved_us", "said"), [(0.0512, "0.051"), (8.94, "8.9"), (25.4, "25"), (131.2, "131"), (1234.5, "1234")]
)
def test_what_a_block_saves_is_told_as_people_write_numbers(saved_us: float, said: str) -> None:
    simplified = Simplified(Replaced("layer3.1", "residual", 256), 0.0181, saved_us)
    assert str(simplified) == f"layer3.1 became its shortcut (0.018 nats for {said} µs)"
