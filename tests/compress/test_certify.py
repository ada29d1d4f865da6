"""The certificate: which candidate is shipped, what is said of it, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress import passes
from hqp.compress.certify import certify, path
from hqp.compress.job import Draft
from hqp.records import Accuracy, Cost, Judged, Targets
from hqp.stats.paired import drop_pp

TOTAL = 4000
TEST = Cost("accuracy on test", TOTAL, 1, 2.5)
MakeAccuracy = Callable[..., Accuracy]


def lost(images: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    hits = np.ones(TOTAL, dtype=bool)
    hits[:images] = False
    return hits


@pytest.fixture
def certified(make_accuracy: MakeAccuracy) -> Callable[..., Draft]:
    """The draft after certifying, where the files of steps lose so many images, and the last of them is the path's."""

    def run(shipped: int, losing: dict[int, int], alpha: float | None = 0.05, latency_ms: float | None = None) -> Draft:
        draft = Draft(shipped=shipped, dense_file=Path("dense"), files={step: Path(str(step)) for step in losing})
        draft.removals = [{}] * (max(losing, default=0) + 1)
        hits = {Path("dense"): lost(0), **{Path(str(step)): lost(images) for step, images in losing.items()}}
        job: Any = SimpleNamespace(
            recipe=SimpleNamespace(alpha=alpha),
            delta_max_pp=1.5,
            test=lambda file: Judged(make_accuracy(hits[file]), TEST),
            targets=Targets(latency_ms=latency_ms),
            latency_ms=lambda file: 100.0 - int(file.name),
        )
        certify(job, draft)
        return draft

    return run


@pytest.mark.parametrize(
    ("accepted", "last", "steps"),
    [
        (0, 0, [0]),
        (0, 2, [0, 1, 2]),
        (1, 1, [1]),
        (3, 3, [3]),
        (4, 4, [3, 4]),
        (40, 41, [34, 40]),
        (40, 48, [34, 40, 42, 44, 46, 48]),
        (60, 70, [51, 60, 63, 66, 69]),
    ],
)
def test_the_path_goes_on_beyond_what_was_accepted(accepted: int, last: int, steps: list[int]) -> None:
    assert path(accepted, last) == steps


def test_the_most_aggressive_that_holds_is_shipped(certified: Callable[..., Draft]) -> None:
    draft = certified(40, {34: 20, 40: 40})
    found, expected = draft.certificate, drop_pp(lost(0), lost(40), 0.9)
    assert found is not None and draft.shipped == 40
    assert (found.certified, found.drop_pp, found.upper_pp) == (True, 1.0, expected.upper)
    assert (found.alpha, found.delta_max_pp, found.images, found.candidates) == (0.05, 1.5, TOTAL, 2)
    assert (
        str(found)
        == f"certified: with probability 95% the drop is below {expected.upper:.2f} pp, by 4,000 images of 'test'"
    )


def test_one_that_does_not_hold_is_given_up_for_the_one_before(certified: Callable[..., Draft]) -> None:
    draft = certified(40, {34: 40, 40: 58})
    assert draft.shipped == 34 and draft.certificate is not None
    assert draft.certificate.certified and draft.certificate.drop_pp == 1.0 and draft.certificate.candidates == 2


def test_what_selection_does_not_accept_is_shipped_where_test_shows_that_it_holds(
    certified: Callable[..., Draft],
) -> None:
    draft = certified(40, {34: 20, 40: 30, 42: 40, 44: 58, 46: 0})
    assert draft.shipped == 42 and draft.certificate is not None, "46 comes after one that does not hold"
    assert (draft.certificate.drop_pp, draft.certificate.candidates) == (1.0, 4)


def test_beyond_what_was_accepted_a_target_is_reached_but_not_passed(certified: Callable[..., Draft]) -> None:
    losing = {34: 20, 40: 30, 42: 32, 44: 34, 46: 36}
    assert certified(40, losing, latency_ms=57.0).shipped == 44
    assert certified(40, losing, latency_ms=60.0).shipped == 40
    assert certified(40, losing, latency_ms=50.0).shipped == 46


def test_the_ledger_counts_each_candidate(certified: Callable[..., Draft]) -> None:
    costs = certified(40, {34: 20, 40: 40, 42: 58}).costs
    assert costs == {"certificate": Cost("certificate", 3 * TOTAL, 3, 7.5)}


def test_a_file_that_is_asked_for_again_is_not_judged_again(make_accuracy: MakeAccuracy) -> None:
    job: Any = SimpleNamespace(evaluate=lambda file: Judged(make_accuracy(lost(7)), TEST))
    draft = Draft(files={3: Path("3")})
    assert [passes.verified(job, draft, 3).correct for _ in range(2)] == [TOTAL - 7] * 2
    assert draft.costs == {"verification": Cost("verification", TOTAL, 1, 2.5)}


def test_where_the_first_does_not_hold_nothing_is_certified(certified: Callable[..., Draft]) -> None:
    draft = certified(40, {34: 56, 40: 0})
    found = draft.certificate
    assert found is not None and draft.shipped == 40, "what `selection` accepts is shipped, and not tested any more"
    assert not found.certified and found.candidates == 1 and found.upper_pp > 1.5 > found.drop_pp
    assert found.images_needed is not None and found.images_needed > TOTAL
    assert f"about {found.images_needed:,} images would show it to be within 1.50 pp" in str(found)


def test_no_number_of_images_shows_what_is_not_so(certified: Callable[..., Draft]) -> None:
    found = certified(1, {1: 80}).certificate
    assert found is not None and found.images_needed is None and "more images would hardly" in str(found)


def test_a_recipe_without_alpha_is_not_certified(certified: Callable[..., Draft]) -> None:
    draft = certified(40, {}, alpha=None)
    assert draft.certificate is None and draft.shipped == 40


def test_what_breaks_the_bound_is_certified_at_most_as_often_as_alpha_says(make_accuracy: MakeAccuracy) -> None:
    """Both candidates truly lose a little more than Δmax; the worse repeats the better one's losses."""
    draws, wrong, runs = np.random.default_rng(0), 0, 400
    for _ in range(runs):
        chance = draws.random(TOTAL)
        hits = {"dense": lost(0), "34": chance > 0.0151, "40": chance > 0.0152}
        job: Any = SimpleNamespace(
            recipe=SimpleNamespace(alpha=0.05),
            delta_max_pp=1.5,
            test=lambda file, hits=hits: Judged(make_accuracy(hits[str(file)]), TEST),
            targets=Targets(),
        )
        draft = Draft(shipped=40, dense_file=Path("dense"), files={34: Path("34"), 40: Path("40")})
        draft.removals = [{}] * 41
        certify(job, draft)
        wrong += draft.certificate is not None and draft.certificate.certified
    # Three deviations of a binomial above 5%.
    assert 0 < wrong <= runs * 0.05 + 3 * (runs * 0.05 * 0.95) ** 0.5
