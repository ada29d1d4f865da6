"""Networks of random widths are timed as they would be shipped, once; what was fitted is kept."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hqp.compress.job import Job
from hqp.compress.ranking.greedy import Remaining, taken
from hqp.compress.search import latency_model
from hqp.compress.search.candidates import Candidates
from hqp.compress.studies import foretelling
from hqp.records import Policy, Pruning, Ranking, Recipe, Samples
from hqp.store import Store

torch.set_num_threads(1)


def noise() -> Samples:
    """Images that the exported file is compared on."""
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    labels, names = np.zeros(4, np.int64), ("a",)
    return Samples("noise", "calibration", labels, names, (0.5,) * 3, (0.2,) * 3, "d" * 64, lambda chosen, _: images)


def filters_of(file: Path) -> list[int]:
    """The filters of the convolutions of a file."""
    import onnx

    return [one.dims[0] for one in onnx.load(file).graph.initializer if len(one.dims) == 4]


@pytest.fixture
def timing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Candidates whose files take a microsecond for each multiply-add, and how many files were timed."""
    # Enough for a device that is as regular as this.
    monkeypatch.setattr(latency_model, "NETWORKS", 8)
    model = nn.Sequential(
        nn.Conv2d(3, 16, 1), nn.ReLU(), nn.Conv2d(16, 12, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, 4)
    ).eval()
    asked: list[int] = []

    def latencies_ms(files: list[Path]) -> list[float]:
        asked.append(len(files))
        widths = [filters_of(file) for file in files]
        return [64 * (3 * first + first * second) / 1e3 + second * 4 / 1e3 for first, second in widths]

    values: dict[str, Any] = dict.fromkeys(field.name for field in fields(Job))
    values |= {
        "model": model,
        "key": {"model": "tiny"},
        "recipe": Recipe(pruning=Pruning((Ranking("fisher", per="us"),))),
        "policy": Policy(),
        "input_size": 8,
        "calibration": noise(),
        "device": "a device",
        "latencies_ms": latencies_ms,
        "store": Store(tmp_path),
        "track": lambda step, total: nullcontext(lambda images: None),
        "warn": print,
    }
    return Candidates(Job(**values)), asked


def test_it_is_measured_once_and_foretells_what_was_never_timed(timing: Any, tmp_path: Path) -> None:
    candidates, asked = timing
    times = latency_model.times(candidates)
    assert asked == [latency_model.NETWORKS]
    left = Remaining(candidates.groups(), times.sizes, {"0": tuple(range(9)), "2": (0, 1)}).left
    assert left == {"0": (7, 3), "2": (10, 7), "5": (4, 10)}
    assert taken(times, left) == pytest.approx(64 * (3 * 7 + 7 * 10) + 4 * 10, rel=1e-3)
    assert latency_model.fitted(candidates).block == 1

    latency_model.times(candidates)
    assert asked == [latency_model.NETWORKS]
    (cost,) = candidates.ledger.costs
    assert (cost.step, cost.passes) == ("latency model", latency_model.NETWORKS)
    assert not (tmp_path / "exported").exists(), "the networks themselves are thrown away"


def test_another_device_is_measured_anew(timing: Any) -> None:
    candidates, asked = timing
    latency_model.fitted(candidates)
    latency_model.fitted(Candidates(replace(candidates.job, device="another")))
    assert asked == [latency_model.NETWORKS] * 2


def test_networks_are_drawn_alike_each_time_and_no_group_is_emptied(timing: Any) -> None:
    groups = timing[0].groups()
    drawn = latency_model.random_removals(groups, 5)
    assert drawn == latency_model.random_removals(groups, 5) != latency_model.random_removals(groups, 5, seed=1)
    for removal in drawn:
        assert all(len(removal.get(group.name, ())) < group.channels for group in groups)


def test_the_study_holds_other_networks_against_the_model(timing: Any) -> None:
    candidates, asked = timing
    found = foretelling.foretell(candidates.job, 4)
    assert asked == [latency_model.NETWORKS, 4]
    assert found.foretold_us == pytest.approx(found.measured_us, rel=1e-2)
    assert found.rank_correlation == 1 and found.block == 1 and found.error < 1e-3
