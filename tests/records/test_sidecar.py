"""What follows from the counts of a sidecar: shares, ratios and sums."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.records import Cost, Filters, Sidecar, Spent


def test_sparsity_is_the_share_of_filters_that_are_gone() -> None:
    filters = Filters(total=4800, kept=3600, inner=1920, inner_kept=480)
    assert (filters.sparsity, filters.inner_sparsity) == (0.25, 0.75)
    assert Filters(total=10, kept=10, inner=0, inner_kept=0).inner_sparsity is None


@pytest.mark.parametrize("counts", [(10, 11, 0, 0), (10, 5, 3, 4)])
def test_more_are_not_kept_than_there_were(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(ValueError, match="more filters are kept than there were"):
        Filters(*counts)


def test_what_was_spent_is_the_sum_of_its_steps() -> None:
    steps = (Cost("sensitivity", 5000, 1, 12.5), Cost("pruning", 60_000, 12, 40.0))
    assert (Spent(steps, None).seconds, Spent(steps, None).share_of_qat) == (52.5, None)
    assert Spent(steps, Cost("training", 1, 1, 210.0)).share_of_qat == 0.25
    assert Spent((), None).seconds == 0


def test_the_ratio_of_the_files_says_how_many_times_smaller_one_is(make_sidecar: Callable[..., Sidecar]) -> None:
    made = make_sidecar(file__size_bytes=10, fp32_file__size_bytes=45)
    assert made.compression_ratio == 4.5
