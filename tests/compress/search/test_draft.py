"""A draft: what is decided so far, and every candidate that was judged on the way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp.compress.search.bound import Bound
from hqp.compress.search.candidate import TRAINED, Candidate, Quantised
from hqp.compress.search.candidates import Candidates, Channels
from hqp.compress.search.draft import Draft
from hqp.records import Accuracy, Group, Member, Policy, Quantization, Tried

TOTAL, FILTERS = 4000, 10
GROUP = Group("a", FILTERS, (Member("a", "filter", tuple((channel,) for channel in range(FILTERS))),))


class Judged(Candidates):
    """So many images are lost with each channel that is gone; a pass ends early below the floor."""

    def channels(self, candidate: Candidate = TRAINED) -> Channels:
        return Channels((GROUP,), (GROUP,))

    def validated(self, candidate: Candidate, bound: Bound | None = None) -> Accuracy | None:
        lost = 20 * len(candidate.removal.get("a", ()))
        accuracy: Accuracy = self.job.evaluate(Path(str(lost))).accuracy
        return accuracy if bound is None or accuracy.correct >= bound.floor else None

    def file(self, candidate: Candidate) -> Path:
        return Path(f"{len(candidate.removal.get('a', ()))}.onnx")


@pytest.fixture
def draft(make_accuracy: Callable[..., Accuracy]) -> Draft:
    def evaluate(file: Path) -> Any:
        hits = np.ones(TOTAL, dtype=bool)
        hits[: int(file.name)] = False
        return SimpleNamespace(accuracy=make_accuracy(hits, "selection"))

    job: Any = SimpleNamespace(filters=FILTERS, evaluate=evaluate)
    quantised = Quantised(Quantization(), Policy())
    by_step = [Candidate.without({"a": tuple(range(step))}, quantised=quantised) for step in range(FILTERS)]
    trained = evaluate(Path("0")).accuracy
    return Draft(Judged(job), by_step, bound=Bound(trained, 1.5, None), shipped=2)


def test_what_is_shipped_is_the_candidate_after_so_many_steps(draft: Draft) -> None:
    assert draft.final.in_fp32 == Candidate.without({"a": (0, 1)}) and draft.file == Path("2.onnx")


def test_each_judged_candidate_is_kept_with_what_it_lost_and_whether_it_held(draft: Draft) -> None:
    assert [draft.holds(draft.by_step[step]) for step in (2, 3, 4)] == [True, True, False]
    assert draft.tried == [
        Tried("module", 0.2, 1.0, None, True),
        Tried("module", 0.3, 1.5, None, True),
        # Its pass ended as soon as the bound was certain to break.
        Tried("module", 0.4, None, None, False),
    ]
    assert {candidate: one.correct for candidate, one in draft.judged.items()} == {
        draft.by_step[2].in_fp32: TOTAL - 40,
        draft.by_step[3].in_fp32: TOTAL - 60,
    }, "whatever calibration its file is given later"
