"""What a recipe says of itself."""

from __future__ import annotations

import pytest

from hqp.records import Pruning, Ranking, Recipe


@pytest.mark.parametrize(
    ("confidence", "alpha", "of_files"),
    [
        (0.998, 0.05, 0.9),  # certified next, at one-sided 95%
        (0.998, None, 0.998),
        (0.8, 0.05, 0.8),  # never more than the search asked for
        (None, 0.05, None),
    ],
)
def test_a_file_is_verified_at_the_confidence_of_the_certificate_where_one_follows(
    confidence: float | None, alpha: float | None, of_files: float | None
) -> None:
    pruning = Pruning((Ranking("fisher"),), confidence=confidence)
    assert Recipe(pruning, alpha=alpha).confidence_of_files == pytest.approx(of_files)


def test_what_is_not_pruned_is_verified_without_a_limit() -> None:
    assert Recipe(alpha=0.05).confidence_of_files is None
