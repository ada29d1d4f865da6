"""Pruning in rounds: which share each takes, when it ends, and what the next round stands on."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.compress.search import rounds
from hqp.compress.search.candidate import Candidate
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.records import FineTuning, Pruning, Ranking, Rounds

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
