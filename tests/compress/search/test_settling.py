"""All files of a search take the calibration that is the nearest for the first of them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

from hqp.compress.search.candidate import Candidate, Quantised
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.compress.search.settling import settle
from hqp.records import Calibrated, Finding, Policy, Quantization, Recipe

FOUND = Finding("conv", "1 of 8 channels are dead", "their biases stay")
CHOSEN = Calibrated("percentile", {"kl": 0.3, "percentile": 0.1, "minmax": 0.2})


class Compared(Candidates):
    """What is nearest for the candidate after two steps is known; no other may be compared."""

    def calibrated(self, candidate: Candidate) -> Calibrated | None:
        assert candidate.quantised is not None
        if candidate.gone == (("a", (0, 1)),):
            return CHOSEN
        (only,) = candidate.quantised.how.calibrations
        return Calibrated(only, {}, findings=(FOUND,))


def draft_of(accepted: int, how: Quantization | None) -> Draft:
    job: Any = SimpleNamespace(recipe=Recipe(quantization=how))
    quantised = Quantised(how, Policy()) if how else None
    by_step = [Candidate.without({"a": tuple(range(step))}, quantised=quantised) for step in range(4)]
    return Draft(Compared(job), by_step, accepted=accepted)


def test_the_others_take_what_is_nearest_for_the_one_that_the_bound_accepts() -> None:
    draft = draft_of(2, Quantization())
    before = list(draft.by_step)
    settle(draft)
    alone = Quantised(Quantization(("percentile",)), Policy())
    assert draft.by_step[2] == before[2], "its file is there already"
    for step in (0, 1, 3):
        assert draft.by_step[step] == replace(before[step], quantised=alone)
    draft.shipped = 3
    assert draft.calibrated == replace(CHOSEN, steps=2, findings=(FOUND,)), "what was found is of the file itself"
    told = "INT8 calibrated by percentile, the nearest to FP32 after 2 pruning steps in nats: "
    scores = "kl 0.3, percentile 0.1, minmax 0.2"
    assert str(draft.calibrated) == f"{told}{scores}; before INT8 {FOUND}"


def test_where_nothing_was_pruned_or_nothing_is_to_choose_all_stays() -> None:
    for accepted, how in ((0, Quantization()), (2, Quantization(("kl",))), (2, None)):
        draft = draft_of(accepted, how)
        before = list(draft.by_step)
        settle(draft)
        assert draft.by_step == before and draft.settled is None
