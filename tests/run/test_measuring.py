"""How many processes and inferences a case is timed in, by what its suite and its gates ask."""

from __future__ import annotations

import pytest

from hqp.run.measuring import Protocol


@pytest.mark.parametrize(
    ("protocol", "processes", "iterations"),
    [
        (Protocol(), 20, 5),
        (Protocol(rounds=2), 1, 5),
        # The first look that may decide is after 6 processes of 2 blocks.
        (Protocol(inferences=600), 20, 50),
        # Of 5 processes it is the only one, after all of them.
        (Protocol(rounds=10, inferences=600), 5, 60),
        # So few that none decides: all of them are timed.
        (Protocol(rounds=2, inferences=600), 1, 300),
        # A surer bound is looked at later, after 10 processes.
        (Protocol(inferences=600, tail=0.0025), 20, 30),
    ],
)
def test_inferences_are_spread_over_the_blocks_before_the_first_look(
    protocol: Protocol, processes: int, iterations: int
) -> None:
    assert (protocol.processes, protocol.iterations) == (processes, iterations)
