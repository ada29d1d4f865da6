"""Multiply-adds of a layer with any number of filters and inputs."""

from __future__ import annotations

import torch
from torch import nn

from hqp.compress.ranking.work import work


def test_multiply_adds_of_every_kind_of_layer() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 6, 1, groups=2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip
    found = work(model, torch.zeros(2, 3, 9, 7))
    # 9x7 pixels leave 4x3 positions.
    assert found.sizes == {"0": (8, 3), "1": (8, 8), "2": (6, 8), "5": (4, 6)}
    assert found.of("0", 8, 3) == 12 * 9 * 8 * 3 and found.of("0", 5, 2) == 12 * 9 * 5 * 2
    assert found.of("1", 8, 8) == 12 * 9 * 8 and found.of("1", 5, 5) == 12 * 9 * 5
    assert found.of("2", 6, 8) == 12 * 6 * 4
    assert found.of("5", 4, 6) == 24 and found.of("5", 4, 1) == 4


def test_a_layer_that_is_not_called_takes_nothing() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1))
    model.add_module("spare", nn.Linear(2, 2))
    model.forward = lambda image: model[0](image)  # type: ignore[method-assign]
    assert work(model, torch.zeros(1, 3, 2, 2)).of("spare", 2, 2) == 0
