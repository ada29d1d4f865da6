"""Microseconds of a channel: half of a group's are taken away, and the network is timed beside itself."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hqp.compress.search import channel_time
from hqp.compress.search.candidates import Candidates
from hqp.records import Pruning, Ranking, Recipe, Samples
from hqp.store import Store

torch.set_num_threads(1)


def noise() -> Samples:
    """Images that the exported file is compared on."""
    images = np.random.default_rng(0).integers(0, 255, (4, 8, 8, 3), np.uint8)
    labels, names = np.zeros(4, np.int64), ("a",)
    return Samples("noise", "calibration", labels, names, (0.5,) * 3, (0.2,) * 3, "d" * 64, lambda chosen, _: images)


class Timed:
    """A job whose files take so many microseconds a channel of what their first convolution has left."""

    def __init__(self, store: Path, us: float) -> None:
        self.model = nn.Sequential(
            nn.Conv2d(3, 7, 1), nn.Conv2d(7, 6, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)
        ).eval()
        self.us, self.files = us, list[Path]()
        self.job: Any = SimpleNamespace(
            model=self.model,
            example=torch.zeros(1, 3, 8, 8),
            input_size=8,
            calibration=noise(),
            store=Store(store),
            key={"model": "tiny"},
            device="a device",
            needs=frozenset({"latency"}),
            latency_ms=self.latency_ms,
            recipe=Recipe(pruning=Pruning((Ranking("fisher", per="us"),))),
            track=lambda step, total: nullcontext(lambda images: None),
        )
        self.candidates = Candidates(self.job)

    def latency_ms(self, file: Path) -> float:
        import onnx

        self.files.append(file)
        shapes = {tuple(one.dims) for one in onnx.load(file).graph.initializer}
        (first,) = (shape for shape in shapes if shape[1:] == (3, 1, 1))
        return 10 + first[0] * self.us / 1e3


def test_a_channel_takes_what_half_of_them_save_shared(tmp_path: Path) -> None:
    timed = Timed(tmp_path, 40.0)
    found = channel_time.channel_us(timed.candidates)
    assert found == pytest.approx({"0": 40.0, "1": 10.28 / 3})  # of "1" nothing can be told from noise
    assert len(timed.files) == 4 and timed.files[0] == timed.files[2], "the whole network is timed beside each"


def test_it_is_measured_once(tmp_path: Path) -> None:
    timed = Timed(tmp_path, 40.0)
    found = channel_time.channel_us(timed.candidates)
    assert channel_time.channel_us(timed.candidates) == found and len(timed.files) == 4


def test_no_ranking_asks_no_time_is_taken(tmp_path: Path) -> None:
    timed = Timed(tmp_path, 40.0)
    timed.job.needs = frozenset({"sensitivity"})
    assert channel_time.channel_us(timed.candidates) == {} and not timed.files
