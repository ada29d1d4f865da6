"""Notes of an artefact: that its file breaks the bound, and why nothing was removed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hqp.compress.search import explain
from hqp.compress.search.bound import Bound
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates, Channels
from hqp.compress.search.draft import Draft
from hqp.records import (
    Accuracy,
    Cost,
    Group,
    Judged,
    Member,
    Policy,
    Pruning,
    Quantization,
    Ranking,
    Recipe,
    Rounds,
    Targets,
)
from hqp.stats.paired import drop_interval

TOTAL = 1000
Explained = Callable[..., tuple[str, ...]]

# Of 20 filters ten are in a group; a step removes two of them.
MODEL = nn.Sequential(nn.Conv2d(3, 10, 1), nn.Conv2d(10, 10, 1), nn.Flatten(), nn.Linear(10, 2))
GROUP = Group("0", 10, (Member("0", "filter", tuple((one,) for one in range(10))),))
REMOVALS: list[Any] = [{}, {"0": (0, 1)}, {"0": (0, 1, 2, 3)}]


class Given(Candidates):
    """Files that are never made, and modules that lose so many images."""

    mildest: Accuracy

    def fp32(self, candidate: Candidate) -> Path:
        return Path("dense")

    def file(self, candidate: Candidate) -> Path:
        return Path("shipped")

    def validated(self, candidate: Candidate, bound: Bound | None = None) -> Accuracy | None:
        return self.mildest


@pytest.fixture
def explained(make_accuracy: Callable[..., Accuracy]) -> Explained:
    """The notes where the file loses so many of 1,000 images; ``mildest`` are those that one step loses in FP32."""

    def right(lost: int) -> Accuracy:
        return make_accuracy(np.arange(TOTAL) >= lost, "selection")

    def run(lost: int, pruning: Pruning | None = None, int8: bool = True, mildest: int = 0, **draft: Any) -> Any:
        job: Any = SimpleNamespace(
            model=MODEL,
            example=torch.zeros(1, 3, 1, 1),
            filters=20,
            recipe=Recipe(pruning, Quantization() if int8 else None, alpha=draft.pop("alpha", None)),
            delta_max_pp=1.5,
            targets=draft.pop("targets", Targets()),
            latency_ms=lambda file: 1.0,
            policy=Policy(channel_multiple=8),
            evaluate=lambda file: Judged(right(0 if file.name == "dense" else lost), Cost("", TOTAL, 1, 0.0)),
        )
        candidates = Given(job)
        found, removals = draft.pop("found", (GROUP,)), draft.pop("removals", REMOVALS)
        channels = Channels(found, draft.pop("groups", found), draft.pop("held", ()))
        candidates.channels = lambda candidate=TRAINED: channels  # type: ignore[method-assign]
        candidates.mildest = right(mildest)
        by_step = [Candidate.without(removal) for removal in removals]
        made = Draft(candidates, by_step, bound=Bound(right(0), 1.5, None), **draft)
        explain.explain(made)
        return made.notes

    return run


PRUNING = Pruning((Ranking("fisher"),))


def limit(lost: int, confidence: float = 0.998) -> str:
    """The upper limit of the drop, in points, at the confidence of the recipe."""
    return f"{100 * drop_interval(lost, 0, TOTAL, confidence)[1]:.2f}"


def test_a_file_within_the_bound_needs_no_note(explained: Explained) -> None:
    assert explained(15) == ()
    assert explained(15, PRUNING, shipped=1) == ()


def test_layers_that_keep_all_filters_are_told(explained: Explained) -> None:
    held = ("kept whole, since their weights work in several places: '0' is called 2 times",)
    assert explained(15, PRUNING, shipped=1, held=held) == held


def test_where_int8_alone_breaks_the_bound_that_is_said(explained: Explained) -> None:
    assert explained(744) == ("the bound is broken: INT8 alone loses 74.40 pp on 'selection', Δmax is 1.50 pp",)
    assert explained(16, PRUNING, shipped=1) == (
        "the bound is broken: the file loses 1.60 pp on 'selection', Δmax is 1.50 pp",
    )


def test_the_mildest_step_that_breaks_the_bound_is_told_with_its_loss(explained: Explained) -> None:
    exactly = Pruning((Ranking("fisher"),), confidence=None)
    step = "θ is 0: the mildest pruning step, 10.0% of the filters,"
    assert explained(0, exactly, mildest=31) == (f"{step} loses 3.10 pp on 'selection'; Δmax is 1.50 pp",)
    assert explained(0, PRUNING, mildest=10) == (
        f"{step} loses 1.00 pp on 'selection', at most {limit(10)}; Δmax is 1.50 pp",
    )
    assert explained(12, PRUNING, accepted=2) == (
        f"{step} quantised loses 1.20 pp on 'selection', at most {limit(12)}; Δmax is 1.50 pp",
    )
    # What is certified next is held to the certificate's confidence.
    assert explained(12, PRUNING, accepted=2, alpha=0.05) == (
        f"{step} quantised loses 1.20 pp on 'selection', at most {limit(12, 0.9)}; Δmax is 1.50 pp",
    )
    assert explained(0, PRUNING, mildest=10, alpha=0.05) == (
        f"{step} loses 1.00 pp on 'selection', at most {limit(10, 0.9)}; Δmax is 1.50 pp",
    )


def test_channels_that_cannot_go_are_told_with_their_layers(explained: Explained) -> None:
    tied = "tied to the input, to the logits, or to an operation that channels cannot be cut out of"
    nothing: dict[str, Any] = {"groups": (), "removals": [{}]}
    assert explained(0, PRUNING, **nothing, found=()) == (
        f"θ is 0: none of 20 filters can go, those of 0, 1 are {tied}",
    )
    kept = Pruning((Ranking("fisher"),), keep=("0", "1*"))
    assert explained(0, kept, **nothing) == ("θ is 0: all 10 filters that could go are kept by 0, 1*",)
    assert explained(0, PRUNING, removals=[{}]) == ("θ is 0: no group has channels to spare beyond a multiple of 8",)
    limited = Pruning((Ranking("fisher"),), at_most={"*": 0.0})
    assert explained(0, limited, removals=[{}]) == ("θ is 0: no filter may go by the policy",)


def test_targets_and_rounds_that_leave_all_filters_are_told(explained: Explained) -> None:
    targets = Targets(latency_ms=2.0)
    assert explained(0, PRUNING, targets=targets) == ("θ is 0: the targets are reached without pruning",)
    rounds = Pruning((Ranking("fisher"),), rounds=Rounds())
    assert explained(0, rounds, removals=[{}]) == ("θ is 0: no round of pruning and training kept the bound",)
