"""Targets: pruning stops at the first step that reaches them all, and says what is out of reach."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates, Channels
from hqp.compress.search.draft import Draft
from hqp.compress.search.targets import last, stop, tell
from hqp.records import Group, Member, Targets

# Ten channels of one filter each, and the network's other layer.
GROUP = Group("0", 10, (Member("0", "filter", tuple((one,) for one in range(10))),))
REMOVALS: list[Any] = [{}, *({"0": tuple(range(step))} for step in range(1, 10))]
BY_STEP = [Candidate.without(removal) for removal in REMOVALS]
FILTERS = 20


class Named(Candidates):
    """The file of the candidate of k steps is named k."""

    def __init__(self, job: Any, folder: Path) -> None:
        super().__init__(job)
        self.folder = folder
        self.channels = lambda candidate=TRAINED: Channels((GROUP,), (GROUP,))  # type: ignore[method-assign]

    def file(self, candidate: Candidate) -> Path:
        return self.folder / f"{BY_STEP.index(candidate)}"


class Bench:
    """Step k removes k channels, is 10 - k ms slow and 1000 - 100 k bytes large; the bound holds where it says so."""

    def __init__(self, folder: Path, holding: set[int] | None = None) -> None:
        self.said: list[str] = []
        self.holding = set(range(10)) if holding is None else holding
        self.folder = folder
        for step in range(10):
            (folder / f"{step}").write_bytes(b"x" * (1000 - 100 * step))

    def stop(self, shipped: int, certified: int | None = None, **targets: Any) -> int:
        """The step that is stopped at; what is said is said of that, or of the step that was ``certified``."""
        job: Any = SimpleNamespace(
            filters=FILTERS,
            targets=Targets(**targets),
            warn=self.said.append,
            latency_ms=lambda file: 10.0 - int(file.name),
        )
        draft = Draft(Named(job, self.folder), BY_STEP, shipped=shipped)
        stopped = stop(draft, self.holding.__contains__)
        draft.shipped = stopped if certified is None else certified
        tell(draft)
        return stopped


@pytest.mark.parametrize(
    ("targets", "step"),
    [
        ({}, 8),
        ({"latency_ms": 7.0}, 3),
        ({"latency_ms": 6.5}, 4),
        ({"bytes": 500}, 5),
        ({"sparsity": 0.1}, 2),
        ({"sparsity": 0.3, "bytes": 400}, 6),
        ({"latency_ms": 100.0}, 0),
    ],
)
def test_no_more_is_pruned_than_the_targets_ask(tmp_path: Path, targets: dict[str, float], step: int) -> None:
    bench = Bench(tmp_path)
    assert bench.stop(8, **targets) == step and not bench.said


def test_a_sparsity_that_another_target_passes_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.stop(8, sparsity=0.1, bytes=400) == 6
    assert bench.said == ["warning: sparsity 0.3 is shipped, beyond 0.1: for the other targets"]


def test_what_is_out_of_reach_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.stop(6, latency_ms=3.0, bytes=100, sparsity=0.3) == 6
    assert bench.said == ["warning: within the bound latency_ms 4 is reached, not 3 and bytes 400 is reached, not 100"]


def test_a_target_that_the_certificate_gave_up_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.stop(6, certified=5, latency_ms=4.0) == 6
    assert bench.said == ["warning: within the bound latency_ms 5 is reached, not 4"]


@pytest.mark.parametrize(("holding", "step"), [({8}, 8), ({5, 6, 7, 8}, 6), ({4, 8}, 4), ({5, 8}, 8)])
def test_where_the_step_of_a_target_breaks_the_bound_a_deeper_one_that_holds_is_shipped(
    tmp_path: Path, holding: set[int], step: int
) -> None:
    assert Bench(tmp_path, holding).stop(8, latency_ms=7.0) == step


@pytest.mark.parametrize(("holding", "step"), [({1, 2, 8}, 2), ({1, 8}, 1), ({8}, 0)])
def test_a_sparsity_that_breaks_the_bound_is_not_overshot(tmp_path: Path, holding: set[int], step: int) -> None:
    bench = Bench(tmp_path, holding)
    assert bench.stop(8, sparsity=0.12) == step, "3 channels of 20 filters would do"
    assert bench.said == [f"warning: within the bound sparsity {step / 20:.3g} is reached, not 0.12"]


def test_a_sparsity_that_a_coarse_step_overshoots_is_told(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.stop(8, sparsity=0.02) == 1
    assert bench.said == ["warning: sparsity 0.05 is shipped, beyond 0.02: the pruning step before has 0"]


@pytest.mark.parametrize(("wanted", "step"), [(None, 9), (0.2, 4), (0.21, 5), (0.9, 9)])
def test_the_certificate_goes_no_further_than_a_sparsity_that_is_asked_for(wanted: float | None, step: int) -> None:
    job: Any = SimpleNamespace(filters=FILTERS, targets=Targets(sparsity=wanted))
    assert last(Draft(Named(job, Path()), BY_STEP)) == step
