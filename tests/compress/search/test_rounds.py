"""Pruning in rounds: which share each takes, when it ends, and what the next round stands on."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress.search import rounds
from hqp.compress.search.candidate import TRAINED, Candidate, Tuning
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.records import FineTuning, Group, Policy, Pruning, Ranking, Recipe, Rounds, Statistics

# Nothing, one channel and two are gone.
BY_STEP = [Candidate.without(removal) for removal in ({}, {"a": (0,)}, {"a": (0, 1)})]

Deepened = Callable[..., tuple[list[float], Draft]]


@pytest.fixture
def deepened(monkeypatch: pytest.MonkeyPatch) -> Deepened:
    """The shares of the rounds and the draft, where the rounds end as told; 0.1 a round, 0.02 after a violation."""

    def run(*ends: bool | None, most: int | None = None, accepted: int = 0) -> tuple[list[float], Draft]:
        shares: list[float] = []

        def one(draft: Draft, how: Rounds, share: float) -> bool | None:
            shares.append(share)
            held = ends[len(shares) - 1]
            if held:
                draft.by_step.append(Candidate.without({"a": tuple(range(len(draft.by_step)))}))
            return held

        monkeypatch.setattr(rounds, "_round", one)
        pruning = Pruning((Ranking("fisher"),), rounds=Rounds(0.1, 0.02, most, FineTuning()))
        job: Any = SimpleNamespace(recipe=SimpleNamespace(pruning=pruning))
        draft = Draft(Candidates(job), list(BY_STEP), accepted=accepted)
        rounds.deepen(draft)
        return shares, draft

    return run


def test_a_violation_is_undone_and_tried_with_less_and_the_next_ends(deepened: Deepened) -> None:
    shares, draft = deepened(True, False, True, False)
    assert shares == [0.1, 0.1, 0.02, 0.02]
    assert (draft.accepted, len(draft.by_step)) == (2, 3)


def test_rounds_go_on_where_the_search_ended(deepened: Deepened) -> None:
    shares, draft = deepened(True, False, False, accepted=1)
    assert shares == [0.1, 0.1, 0.02]
    assert (draft.accepted, len(draft.by_step), draft.by_step[:2]) == (2, 3, BY_STEP[:2])


def test_where_no_round_holds_the_steps_beyond_are_still_on_the_way(deepened: Deepened) -> None:
    shares, draft = deepened(False, False, accepted=1)
    assert shares == [0.1, 0.02]
    assert (draft.accepted, draft.by_step) == (1, BY_STEP)


def test_what_is_exhausted_ends(deepened: Deepened) -> None:
    assert deepened(True, None)[0] == [0.1, 0.1]


def test_no_more_rounds_than_asked_for(deepened: Deepened) -> None:
    assert deepened(True, True, True, most=2)[0] == [0.1, 0.1]


def test_without_rounds_nothing_happens() -> None:
    job: Any = SimpleNamespace(recipe=SimpleNamespace(pruning=Pruning((Ranking("fisher"),))))
    candidates = Candidates(job)
    draft = Draft(candidates, BY_STEP[:2], accepted=1)
    rounds.deepen(draft)
    assert draft == Draft(candidates, BY_STEP[:2], accepted=1)


@pytest.mark.parametrize(
    ("multiple", "share", "gone"),
    # Of the first convolution's 16 filters eight go, in eights, and the next two wait: the second one's 4 come before.
    [(1, 0.5, 10), (8, 0.5, 10), (8, 0.02, 8)],
    ids=["one by one", "in eights", "less than eight"],
)
def test_a_round_takes_its_share_also_where_channels_go_in_blocks(
    multiple: int, share: float, gone: int, make_job: Any
) -> None:
    how = Rounds(share=share)
    pruning = Pruning((Ranking("magnitude"),), rounds=how)
    job = make_job(16, 12, recipe=Recipe(pruning=pruning), filters=20, needs=frozenset(), scores=by_position())
    job.policy = Policy(channel_multiple=multiple)
    draft = Draft(Candidates(job), [TRAINED], ranking=pruning.rankings[0])
    candidate = rounds._next(draft, how, share)
    assert candidate is not None
    assert draft.candidates.filters_removed(candidate) == gone
    assert candidate.tuning == Tuning(TRAINED, how.fine_tuning)


def by_position() -> dict[Ranking, Callable[..., Any]]:
    """Scores by which the channels of the first convolution go in their order, and those of the second last."""

    def scores(group: Group, statistics: Statistics) -> Any:
        return np.arange(group.channels) + (100 if group.channels < 16 else 0)

    return {Ranking("magnitude"): scores}
