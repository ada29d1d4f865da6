"""Which ranking's candidate is kept: by what is measured of its file, or counted of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from hqp.compress.channels.finding import find_groups
from hqp.compress.search import objective
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates, Channels
from hqp.compress.search.objective import Found
from hqp.records import Objective, Ranking, Recipe
from hqp.store import Store

torch.set_num_threads(1)

WIDE, DEEP = Ranking("wide"), Ranking("deep")


class Filed(Candidates):
    """Candidates whose files are named by what is gone, as large as they take multiply-adds, and timed as written."""

    def __init__(
        self,
        folder: Path,
        by: Objective,
        times_ms: dict[str, float],
        is_timed: bool = True,
        energy_mj: Callable[[Path], float] | None = None,
    ) -> None:
        model = nn.Sequential(
            nn.Conv2d(3, 8, 1), nn.Conv2d(8, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
        ).eval()
        self.asked: list[list[str]] = []

        def latencies_ms(files: list[Path]) -> list[float]:
            self.asked.append([file.name for file in files])
            return [times_ms[file.name] for file in files]

        job: Any = SimpleNamespace(
            model=model,
            example=torch.zeros(1, 3, 5, 5),
            recipe=Recipe(objective=by),
            filters=14,
            store=Store(folder / "store"),
            device="a device",
            latencies_ms=latencies_ms,
            is_timed=is_timed,
            energy_mj=energy_mj,
        )
        super().__init__(job)
        found = find_groups(model, job.example)
        self.channels = lambda candidate=TRAINED: Channels(found, found)  # type: ignore[method-assign]
        self.folder = folder

    def file(self, candidate: Candidate) -> Path:
        file = self.folder / "-".join(f"{group}.{len(gone)}" for group, gone in candidate.gone)
        file.write_bytes(b"x" * int(objective.estimate(self)(candidate)))
        return file


def without(**counts: int) -> Candidate:
    return Candidate.without({name.removeprefix("g"): tuple(range(count)) for name, count in counts.items()})


def found(ranking: Ranking, *candidates: Candidate) -> Found:
    return Found(ranking, [Candidate(), *candidates], len(candidates))


@pytest.mark.parametrize(
    ("by", "of_wide", "of_deep", "better"),
    [
        # 25 positions of the first layer, 9 of the second: three filters of the first take their inputs along.
        ("macs", 25 * 3 * 5 + 9 * 9 * 5 * 6 + 24, 25 * 3 * 8 + 9 * 9 * 8 * 2 + 8, "deep"),
        ("bytes", 3 * 5 + 9 * 5 * 6 + 24, 3 * 8 + 9 * 8 * 2 + 8, "deep"),
        ("sparsity", -3, -4, "deep"),
    ],
)
def test_what_is_estimated_of_a_candidate(
    tmp_path: Path, by: Objective, of_wide: float, of_deep: float, better: str
) -> None:
    value = objective.estimate(Filed(tmp_path, by, {}))
    wide, deep = without(g0=3), without(g1=4)
    assert (value(wide), value(deep)) == (of_wide, of_deep)
    assert objective.first_better([Candidate(), without(g1=1), deep], value, wide) == (2 if better == "deep" else 3)


def test_nothing_is_to_beat_or_nothing_beats_it(tmp_path: Path) -> None:
    value = objective.estimate(Filed(tmp_path, "macs", {}))
    assert objective.first_better([Candidate()], value, None) == 0
    assert objective.first_better([Candidate(), without(g0=1)], value, without(g1=5)) == 2


def test_the_file_that_measures_fastest_is_kept_and_measured_once(tmp_path: Path) -> None:
    candidates = Filed(tmp_path, "latency_ms", {"0.3": 2.0, "1.4": 2.5})
    several = [found(DEEP, without(g1=4)), found(WIDE, without(g0=3)), Found(Ranking("none"), [Candidate()], 0)]
    compared = objective.compared(candidates, several)
    assert [(one.ranking, one.by, one.value) for one in compared] == [
        ("deep", "latency_ms", 2.5),
        ("wide", "latency_ms", 2.0),
    ]
    assert [one.sparsity for one in compared] == [4 / 14, 3 / 14]
    assert objective.best(several, compared) is several[1]
    assert objective.compared(candidates, several) == compared and candidates.asked == [["1.4", "0.3"]]
    assert [(cost.step, cost.passes) for cost in candidates.ledger.costs] == [("latency", 2)]


def test_the_most_filters_are_best_where_that_is_asked(tmp_path: Path) -> None:
    several = [found(WIDE, without(g0=3)), found(DEEP, without(g1=4))]
    compared = objective.compared(Filed(tmp_path, "sparsity", {}), several)
    assert [one.value for one in compared] == [3 / 14, 4 / 14] and objective.best(several, compared) is several[1]


def test_bytes_are_those_of_the_files(tmp_path: Path) -> None:
    several = [found(WIDE, without(g0=3)), found(DEEP, without(g1=4))]
    compared = objective.compared(Filed(tmp_path, "bytes", {}), several)
    assert [one.value for one in compared] == [309, 176] and objective.best(several, compared) is several[1]


def test_the_least_energy_is_best_where_that_is_asked_and_is_measured_once(tmp_path: Path) -> None:
    asked = []

    def energy_mj(file: Path) -> float:
        asked.append(file.name)
        return {"0.3": 8.0, "1.4": 9.0}[file.name]

    several = [found(DEEP, without(g1=4)), found(WIDE, without(g0=3))]
    candidates = Filed(tmp_path, "energy_mj", {}, energy_mj=energy_mj)
    for _ in range(2):
        compared = objective.compared(candidates, several)
        assert [(one.by, one.value) for one in compared] == [("energy_mj", 9.0), ("energy_mj", 8.0)]
    assert objective.best(several, compared) is several[1] and asked == ["1.4", "0.3"]
    assert [(cost.step, cost.passes) for cost in candidates.ledger.costs] == [("energy", 2)]
    assert objective.decided_by(Filed(tmp_path, "energy_mj", {})) == "macs"


def test_where_the_device_is_not_at_hand_multiply_adds_decide(tmp_path: Path) -> None:
    candidates = Filed(tmp_path, "latency_ms", {}, is_timed=False)
    assert objective.decided_by(candidates) == "macs"
    assert objective.decided_by(Filed(tmp_path, "bytes", {}, is_timed=False)) == "bytes"


def test_of_one_nothing_is_compared(tmp_path: Path) -> None:
    candidates = Filed(tmp_path, "latency_ms", {})
    several = [Found(WIDE, [Candidate()], 0), found(DEEP, without(g1=4))]
    assert objective.compared(candidates, several) == () and objective.best(several, ()) is several[1]
    assert objective.best(several[:1], ()) is several[0]
