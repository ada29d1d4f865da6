"""What each step took of the points that may be lost: by steps they add up to what the file lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress.search.bound import Bound
from hqp.compress.search.candidate import TRAINED, Candidate, Quantised
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.compress.search.spending import spend
from hqp.records import Accuracy, Budget, Policy, Quantization, Recovery, Replaced

TOTAL = 1000
WITHOUT_BLOCKS = Candidate(replaced=(Replaced("block", "residual", 4),))
PRUNED = replace(WITHOUT_BLOCKS, gone=(("a", (0, 1)),), recovery=Recovery())
INT8 = replace(PRUNED, quantised=Quantised(Quantization(), Policy()))
MIXED = replace(PRUNED, quantised=Quantised(Quantization(), Policy(layers={"a": "float"})))
# How many of 1,000 images each loses: the first three in PyTorch, the others as files.
LOST = {TRAINED: 0, WITHOUT_BLOCKS: 6, PRUNED: 10, INT8: 11, MIXED: 9, replace(TRAINED, precision="bf16"): 1}


class Known(Candidates):
    """What each candidate has is known; of the modules it is told which were judged anew."""

    def __init__(self, job: Any, make_accuracy: Callable[..., Accuracy]) -> None:
        super().__init__(job)
        self.accuracy, self.anew = make_accuracy, list[Candidate]()

    def _losing(self, images: int) -> Accuracy:
        hits = np.ones(TOTAL, dtype=bool)
        hits[:images] = False
        return self.accuracy(hits, "selection")

    def fp32(self, candidate: Candidate) -> Path:
        return Path("dense")

    def filters_removed(self, candidate: Candidate) -> int:
        return 0

    def validated(self, candidate: Candidate, bound: Bound | None = None) -> Accuracy | None:
        self.anew.append(candidate)
        judged = self._losing(LOST[candidate])
        return judged if bound is None or judged.correct >= bound.floor else None

    def on_selection(self, candidate: Candidate) -> Accuracy:
        return self._losing(LOST[candidate])


@pytest.fixture
def draft_of(make_accuracy: Callable[..., Accuracy]) -> Callable[[Candidate], Draft]:
    """The draft in which a candidate is shipped."""

    def make(final: Candidate) -> Draft:
        trained = make_accuracy(np.ones(TOTAL, dtype=bool), "selection")
        job: Any = SimpleNamespace(
            delta_max_pp=1.5, policy=Policy(), filters=10, evaluate=lambda file: SimpleNamespace(accuracy=trained)
        )
        draft = Draft(Known(job, make_accuracy), [final], bound=Bound(trained, 1.5, None))
        if final.replaced:
            draft.pruned = draft.candidates.validated(final.in_fp32)
        return draft

    return make


@pytest.mark.parametrize(
    ("final", "spent_pp"),
    [
        (MIXED, {"blocks": 0.6, "channels": 0.4, "quantisation": 0.1, "precision": -0.2}),
        (INT8, {"blocks": 0.6, "channels": 0.4, "quantisation": 0.1}),
        (PRUNED, {"blocks": 0.6, "channels": 0.4}),
        (WITHOUT_BLOCKS, {"blocks": 0.6}),
        (replace(TRAINED, precision="bf16"), {"precision": 0.1}),
    ],
)
def test_each_step_is_told_with_what_it_lost(
    draft_of: Callable[[Candidate], Draft], final: Candidate, spent_pp: dict[str, float]
) -> None:
    draft = draft_of(final)
    spend(draft)
    assert draft.budget is not None and draft.budget.spent_pp == pytest.approx(spent_pp)
    assert list(draft.budget.spent_pp) == list(spent_pp)
    assert draft.budget.left_pp == pytest.approx(1.5 - sum(spent_pp.values()))


def test_what_can_lose_nothing_spends_nothing(draft_of: Callable[[Candidate], Draft]) -> None:
    draft = draft_of(TRAINED)
    spend(draft)
    assert draft.budget is None


def test_what_the_search_judged_is_not_judged_anew(
    draft_of: Callable[[Candidate], Draft], make_accuracy: Callable[..., Accuracy]
) -> None:
    draft = draft_of(INT8)
    assert draft.bound is not None and isinstance(draft.candidates, Known)
    half = replace(draft.bound, delta_max_pp=0.75)
    assert draft.holds(WITHOUT_BLOCKS, half) and draft.holds(PRUNED) and not draft.holds(PRUNED, half)
    draft.candidates.anew.clear()
    spend(draft)
    assert draft.candidates.anew == []

    # A pass that ended after 250 images, of which two were lost.
    draft.judged[WITHOUT_BLOCKS] = make_accuracy([False] * 2 + [True] * 248, "selection")
    spend(draft)
    assert draft.budget is not None
    assert draft.budget.spent_pp == pytest.approx({"blocks": 0.8, "channels": 0.2, "quantisation": 0.1})


def test_a_budget_is_told_in_one_line() -> None:
    spent = Budget(1.5, {"blocks": 0.64, "channels": 0.42, "quantisation": -0.001})
    assert str(spent) == "of 1.50 pp on 'selection': blocks 0.64, channels 0.42, quantisation 0.00; 0.44 left"
    over = Budget(0.5, {"quantisation": 0.75})
    assert str(over) == "of 0.50 pp on 'selection': quantisation 0.75; -0.25 left"
