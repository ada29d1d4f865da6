"""The certificate: which candidate is shipped, what is said of it, and how often it is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates, Channels
from hqp.compress.search.certify import certify, milder, path
from hqp.compress.search.draft import Draft
from hqp.records import Accuracy, Cost, Group, Judged, Member, Targets, Tried
from hqp.stats.paired import drop_pp

TOTAL = 4000
TEST = Cost("accuracy on test", TOTAL, 1, 2.5)
MakeAccuracy = Callable[..., Accuracy]


FILTERS = 100
GROUP = Group("a", FILTERS, (Member("a", "filter", tuple((channel,) for channel in range(FILTERS))),))


class Named(Candidates):
    """The file of the candidate without channels 0 to k - 1 is named k, that of the trained model dense."""

    def channels(self, candidate: Candidate = TRAINED) -> Channels:
        return Channels((GROUP,), (GROUP,))

    def fp32(self, candidate: Candidate) -> Path:
        return Path("dense")

    def file(self, candidate: Candidate) -> Path:
        return Path(str(len(candidate.removal["a"])))


def draft_of(job: Any, shipped: int, last: int) -> Draft:
    """A draft of so many steps, which take a channel each."""
    by_step = [Candidate.without({"a": tuple(range(step))}) for step in range(last + 1)]
    return Draft(Named(job), by_step, shipped=shipped)


def lost(images: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    hits = np.ones(TOTAL, dtype=bool)
    hits[:images] = False
    return hits


@pytest.fixture
def certified(make_accuracy: MakeAccuracy) -> Callable[..., Draft]:
    """The draft after certifying, where the files of steps lose so many images, and the last of them is the path's."""

    def run(shipped: int, losing: dict[int, int], alpha: float | None = 0.05, latency_ms: float | None = None) -> Draft:
        hits = {Path("dense"): lost(0), **{Path(str(step)): lost(images) for step, images in losing.items()}}
        job: Any = SimpleNamespace(
            recipe=SimpleNamespace(alpha=alpha),
            filters=FILTERS,
            delta_max_pp=1.5,
            test=lambda file: Judged(make_accuracy(hits[file]), TEST),
            targets=Targets(latency_ms=latency_ms),
            latency_ms=lambda file: 100.0 - int(file.name),
        )
        draft = draft_of(job, shipped, max(losing, default=0))
        certify(draft)
        return draft

    return run


@pytest.mark.parametrize(
    ("accepted", "last", "steps"),
    [
        (0, 0, [0]),
        (0, 2, [0, 1, 2]),
        (4, 4, [4]),
        (40, 41, [40, 41]),
        (40, 48, [40, 42, 44, 46, 48]),
        (60, 70, [60, 63, 66, 69, 70]),
    ],
)
def test_the_path_goes_on_beyond_what_was_accepted(accepted: int, last: int, steps: list[int]) -> None:
    assert path(accepted, last) == steps


@pytest.mark.parametrize(
    ("accepted", "steps"), [(0, []), (1, []), (2, [1]), (3, [1, 2]), (4, [2, 3]), (40, [20, 28, 34])]
)
def test_milder_candidates_have_fewer_steps_but_one_at_least(accepted: int, steps: list[int]) -> None:
    assert milder(accepted) == steps


def test_the_most_aggressive_that_holds_is_shipped(certified: Callable[..., Draft]) -> None:
    draft = certified(40, {40: 30, 42: 40})
    # Of 5% milder candidates have a fifth, whether it is needed or not.
    found, expected = draft.certificate, drop_pp(lost(0), lost(40), 0.92)
    assert found is not None and draft.shipped == 42
    assert (found.certified, found.drop_pp, found.upper_pp) == (True, 1.0, expected.upper)
    assert (found.alpha, found.delta_max_pp, found.images, found.candidates) == (0.05, 1.5, TOTAL, 2)
    assert str(found) == (
        "certified: with probability 95% the drop is within 1.50 pp; measured 1.00, limit 1.33"
        " (not corrected for the choice of the step), by 4,000 images of 'test'"
    )


def test_of_a_single_candidate_the_limit_needs_no_correction(certified: Callable[..., Draft]) -> None:
    assert str(certified(0, {0: 40}).certificate) == (
        "certified: with probability 95% the drop is within 1.50 pp; measured 1.00, limit 1.31,"
        " by 4,000 images of 'test'"
    )


def test_images_that_certified_before_say_so_and_what_is_left_of_the_level(certified: Callable[..., Draft]) -> None:
    found = certified(0, {0: 40}).certificate
    assert found is not None
    again = (", by 4,000 images of 'test', use 3 of them for this checkpoint: all are right together with probability "
             "85% at least, and of a level of 5% nothing is left; --alpha spends less each time")  # fmt: skip
    assert str(replace(found, use=3, spent_before=0.1)).endswith(again)
    little = str(replace(found, alpha=0.01, use=3, spent_before=0.02))
    assert little.endswith("with probability 97% at least, and of a level of 5% 2.00% is left")


def test_one_that_does_not_hold_is_given_up_for_the_one_before(certified: Callable[..., Draft]) -> None:
    draft = certified(40, {40: 40, 42: 58, 44: 0})
    assert draft.shipped == 40 and draft.certificate is not None
    assert draft.certificate.certified and draft.certificate.drop_pp == 1.0 and draft.certificate.candidates == 2


def test_where_the_accepted_one_does_not_hold_milder_ones_are_tested_at_what_is_left_of_the_level(
    certified: Callable[..., Draft],
) -> None:
    draft = certified(40, {20: 20, 28: 30, 34: 35, 40: 58, 42: 0})
    found, expected = draft.certificate, drop_pp(lost(0), lost(35), 0.98)
    assert found is not None and draft.shipped == 34
    assert (found.certified, found.drop_pp, found.upper_pp) == (True, 0.875, expected.upper)
    assert (found.alpha, found.candidates) == (0.05, 4)
    # At 5% 34 would hold, with a limit of 1.39.
    draft = certified(40, {20: 20, 28: 30, 34: 43, 40: 58})
    assert draft.shipped == 28 and draft.certificate is not None and draft.certificate.candidates == 4
    assert certified(40, {20: 43, 28: 0, 34: 0, 40: 58}).certificate.certified is False


def test_what_selection_does_not_accept_is_shipped_where_test_shows_that_it_holds(
    certified: Callable[..., Draft],
) -> None:
    draft = certified(40, {40: 10, 42: 40, 44: 58, 46: 0})
    upper = {images: drop_pp(lost(0), lost(images), 0.92).upper for images in (10, 58)}
    assert draft.tried[0] == Tried("certificate", 0.4, 0.25, upper[10], True)
    assert draft.tried[-1] == Tried("certificate", 0.44, 1.45, upper[58], False)
    assert draft.shipped == 42 and draft.certificate is not None, "46 comes after one that does not hold"
    assert (draft.certificate.drop_pp, draft.certificate.candidates) == (1.0, 3)


def test_beyond_what_was_accepted_a_target_is_reached_but_not_passed(certified: Callable[..., Draft]) -> None:
    losing = {40: 30, 42: 32, 44: 34, 46: 36}
    assert certified(40, losing, latency_ms=57.0).shipped == 44
    assert certified(40, losing, latency_ms=60.0).shipped == 40
    assert certified(40, losing, latency_ms=50.0).shipped == 46


def test_the_ledger_counts_each_candidate(certified: Callable[..., Draft]) -> None:
    costs = certified(40, {40: 40, 42: 58}).candidates.ledger.costs
    assert costs == (Cost("certificate", 2 * TOTAL, 2, 5.0),)


def test_a_file_that_is_asked_for_again_is_not_judged_again(make_accuracy: MakeAccuracy) -> None:
    job: Any = SimpleNamespace(evaluate=lambda file: Judged(make_accuracy(lost(7)), TEST))
    draft = draft_of(job, 3, 3)
    assert [draft.candidates.on_selection(draft.final).correct for _ in range(2)] == [TOTAL - 7] * 2
    assert draft.candidates.ledger.costs == (Cost("verification", TOTAL, 1, 2.5),)


def test_where_the_mildest_does_not_hold_either_it_is_shipped_uncertified_with_its_own_numbers(
    certified: Callable[..., Draft],
) -> None:
    draft = certified(40, {20: 56, 28: 0, 34: 0, 40: 60})
    found, expected = draft.certificate, drop_pp(lost(0), lost(56), 0.98)
    assert found is not None and draft.shipped == 20
    assert (found.certified, found.drop_pp, found.upper_pp, found.candidates) == (False, 1.4, expected.upper, 2)
    assert str(found) == (
        "not certified: measured 1.40, limit 1.92, by 4,000 images of 'test';"
        f" about {found.images_needed:,} images would show the drop to be within 1.50 pp"
    )
    assert found.images_needed is not None and found.images_needed > TOTAL


def test_no_number_of_images_shows_what_is_not_so(certified: Callable[..., Draft]) -> None:
    found = certified(1, {1: 80}).certificate
    assert found is not None and found.images_needed is None and "more images would hardly" in str(found)


def test_a_recipe_without_alpha_is_not_certified(certified: Callable[..., Draft]) -> None:
    draft = certified(40, {}, alpha=None)
    assert draft.certificate is None and draft.shipped == 40


Simulated = tuple[Draft, dict[int, np.ndarray[Any, np.dtype[np.bool_]]]]


def simulated(make_accuracy: MakeAccuracy, seed: int, accepted: int, true_drops: Callable[[int], float]) -> Simulated:
    """A certified draft, and which images each step's file gets right; deeper steps lose what milder ones lose."""
    chance = np.random.default_rng(seed).random(TOTAL)
    hits = {step: chance > true_drops(step) for step in range(accepted + 11)}
    job: Any = SimpleNamespace(
        recipe=SimpleNamespace(alpha=0.05),
        filters=FILTERS,
        delta_max_pp=1.5,
        test=lambda file: Judged(make_accuracy(lost(0) if file == Path("dense") else hits[int(str(file))]), TEST),
        targets=Targets(),
    )
    draft = draft_of(job, accepted, accepted + 10)
    certify(draft)
    return draft, hits


def test_what_is_told_is_always_of_the_file_that_is_shipped(make_accuracy: MakeAccuracy) -> None:
    """Runs whose first, a later or no candidate breaks the bound: the numbers are those of the shipped step's file."""
    outcomes = []
    for seed in range(150):
        worth = np.random.default_rng(1000 + seed).uniform(0.0002, 0.0007)
        draft, hits = simulated(make_accuracy, seed, 40, lambda step, worth=worth: worth * step)
        found = draft.certificate
        expected = drop_pp(lost(0), hits[draft.shipped], 0.98 if draft.shipped < 40 else 0.92)
        assert found is not None
        assert (found.drop_pp, found.upper_pp) == (expected.value, expected.upper), f"seed {seed}"
        assert (found.certified, found.images) == (expected.upper <= 1.5, TOTAL)
        outcomes.append((found.certified, draft.shipped))
    assert {step for certified, step in outcomes if not certified} == {20}, "uncertified is the mildest, and only that"
    assert 30 < sum(certified for certified, _ in outcomes) < 120
    assert len({step for certified, step in outcomes if certified}) > 3


def test_what_breaks_the_bound_is_certified_at_most_as_often_as_alpha_says(make_accuracy: MakeAccuracy) -> None:
    """Every candidate truly loses a little more than Δmax; the worse repeat the better one's losses."""
    runs, wrong = 400, 0
    for seed in range(runs):
        draft, _ = simulated(make_accuracy, seed, 40, lambda step: 0.0151 + 1e-5 * step)
        wrong += draft.certificate is not None and draft.certificate.certified
    # Three deviations of a binomial above 5%.
    assert 0 < wrong <= runs * 0.05 + 3 * (runs * 0.05 * 0.95) ** 0.5
