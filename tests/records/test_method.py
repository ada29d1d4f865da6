"""What a recipe says of itself."""

from __future__ import annotations

import pytest

from hqp.records import Pruning, Ranking, Recipe


@pytest.mark.parametrize(
    ("confidence", "alpha", "asked_for"),
    [
        (0.998, 0.05, 0.9),  # certified next, at one-sided 95%
        (0.998, None, 0.998),
        (0.8, 0.05, 0.8),  # never more than the recipe says
        (None, 0.05, None),
    ],
)
def test_selection_asks_for_the_confidence_of_the_certificate_where_one_follows(
    confidence: float | None, alpha: float | None, asked_for: float | None
) -> None:
    pruning = Pruning((Ranking("fisher"),), confidence=confidence)
    assert Recipe(pruning, alpha=alpha).confidence == pytest.approx(asked_for)


def test_what_is_not_pruned_is_verified_without_a_limit() -> None:
    assert Recipe(alpha=0.05).confidence is None
