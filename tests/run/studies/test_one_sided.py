"""Where the promise of the gates on time ends: by counting, and by a simulation that stays within what is counted."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from hqp.run.studies import one_sided
from hqp.stats import sequential

PAGE = Path(__file__).parents[3] / "docs" / "gates.md"


def test_without_hits_the_promise_is_kept_and_each_hit_costs() -> None:
    assert one_sided.at_most(0.0) == sequential.power(sequential.looks(20, 0.05), 0.5) <= 0.05
    # A process of two blocks is hit in 19% of cases by one in ten, and its sign is a coin's in the others.
    assert one_sided.at_most(0.1) == sequential.power(sequential.looks(20, 0.05), 0.595)
    assert one_sided.at_most(0.01) <= 0.055 < one_sided.at_most(0.02) < 0.07


@pytest.mark.parametrize("share", [0.0, 0.05, 0.2])
def test_the_simulation_is_within_what_is_counted(share: float) -> None:
    runs = 4000
    most = one_sided.at_most(share)
    error = math.sqrt(most * (1 - most) / runs)
    assert one_sided.simulated(share, runs=runs)[0] <= most + 2 * error
    # Hits that are lost in other noise take little off.
    assert one_sided.simulated(share, runs=runs)[0] >= 0.8 * most - 2 * error


def test_the_fastest_block_is_wrong_where_the_arms_scatter_differently() -> None:
    usual, fastest = (one_sided.simulated(0.0, rule, 4, 4000) for rule in (one_sided.ratios, one_sided.fastest))
    assert max(usual) <= 0.055 < 0.1 < max(fastest)


def test_the_page_shows_what_is_counted() -> None:
    """What is simulated depends on the version of numpy by a little."""
    page = PAGE.read_text(encoding="utf-8")
    for share in one_sided.SHARES:
        most = one_sided.at_most(share)
        (row,) = (line for line in page.splitlines() if line.startswith(f"| {share:.0%} of blocks "))
        cells = [cell.strip() for cell in row.split("|")]
        assert (cells[2], cells[4]) == (f"{most:.1%}", f"{most**2:.1%}")
