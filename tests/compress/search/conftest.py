"""What a tiny network is compressed with on a device that only tests know."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hqp.records import Policy, Samples
from hqp.store import Store

SIZE = 8


def samples(count: int) -> Samples:
    labels = np.arange(count, dtype=np.int64) % 3
    images = np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE, 3), dtype=np.uint8)
    names = ("a", "b", "c")
    return Samples("d", "calibration", labels, names, (0.5,) * 3, (0.5,) * 3, "d" * 64, lambda i, _: images[list(i)])


@pytest.fixture
def make_job(tmp_path: Path) -> Callable[..., Any]:
    """``make_job(channels, images, **own)``: a job for two convolutions, the first of so many channels, and a head."""

    def make(channels: int, images: int, **own: Any) -> Any:
        torch.manual_seed(0)
        layers = (nn.Conv2d(3, channels, 3), nn.ReLU(), nn.Conv2d(channels, 4, 3), nn.Flatten(), nn.Linear(64, 3))
        return SimpleNamespace(
            model=nn.Sequential(*layers).eval(),
            key={"model": "tiny"},
            policy=Policy(),
            input_size=SIZE,
            example=torch.zeros(1, 3, SIZE, SIZE),
            calibration=samples(images),
            store=Store(tmp_path),
            track=lambda name, total: nullcontext(lambda count: None),
            warn=lambda line: None,
            device="here",
            **own,
        )

    return make
