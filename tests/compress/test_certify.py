"""The certificate: which candidate is shipped, what is said of it, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress.certify import certify, path
from hqp.compress.job import Draft
from hqp.records import Accuracy
from hqp.stats.paired import drop_pp

TOTAL = 4000
MakeAccuracy = Callable[..., Accuracy]


def lost(images: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    hits = np.ones(TOTAL, dtype=bool)
    hits[:images] = False
    return hits


@pytest.fixture
def certified(make_accuracy: MakeAccuracy) -> Callable[..., Draft]:
    """The draft after certifying, where the files of steps lose so many images; Δmax is 1.5 points."""

    def run(shipped: int, losing: dict[int, int], alpha: float | None = 0.05) -> Draft:
        draft = Draft(shipped=shipped, dense_file=Path("dense"), files={step: Path(str(step)) for step in losing})
        hits = {Path("dense"): lost(0), **{Path(str(step)): lost(images) for step, images in losing.items()}}
        job: Any = SimpleNamespace(
            recipe=SimpleNamespace(alpha=alpha), delta_max_pp=1.5, test=lambda file: make_accuracy(hits[file])
        )
        certify(job, draft)
        return draft

    return run


@pytest.mark.parametrize(("accepted", "steps"), [(0, [0]), (1, [1]), (3, [3]), (4, [3, 4]), (40, [34, 40])])
def test_the_path_ends_at_what_was_accepted(accepted: int, steps: list[int]) -> None:
    assert path(accepted) == steps


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
            test=lambda file, hits=hits: make_accuracy(hits[str(file)]),
        )
        draft = Draft(shipped=40, dense_file=Path("dense"), files={34: Path("34"), 40: Path("40")})
        certify(job, draft)
        wrong += draft.certificate is not None and draft.certificate.certified
    # Three deviations of a binomial above 5%.
    assert 0 < wrong <= runs * 0.05 + 3 * (runs * 0.05 * 0.95) ** 0.5
