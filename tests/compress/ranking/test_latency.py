"""What a layer takes of a device's time: a model fitted to whole networks, held against devices that are known."""

from __future__ import annotations

import random
from collections.abc import Mapping

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from hqp.compress.ranking import latency
from hqp.compress.ranking.latency import Layout, Times, fit, layouts

SPATIAL = Layout(64, 32, "spatial", 100, 9, None)
POINTWISE = Layout(96, 64, "pointwise", 25, 1, None)
GROUPED = Layout(96, 96, "grouped", 25, 25, 1)
KNOWN = {"a": SPATIAL, "b": POINTWISE, "c": GROUPED}


def drawn(number: int, seed: int) -> list[dict[str, tuple[int, int]]]:
    """Sizes of so many networks: plain ones, in which the filters of a layer are the inputs of the next."""
    draw, found = random.Random(seed), []
    for _ in range(number):
        images, first, second = (draw.randint(1, most) for most in (32, 64, 96))
        found.append({"a": (first, images), "b": (second, first), "c": (second, second)})
    return found


def us(sizes: Mapping[str, tuple[int, int]], block: int) -> float:
    """What a device takes that works on so many channels at once: 5 µs a call, and each multiply-add its time."""

    def blocks(channels: int) -> int:
        return -(-channels // block) * block

    (a, images), (b, _), (c, _) = (sizes[name] for name in "abc")
    spatial = blocks(a) * blocks(images) * 9 * (100 * 1e-4 + 2e-4)
    return 3 * 5 + spatial + blocks(b) * blocks(a) * 25 * 3e-4 + blocks(c) * 25 * 25 * 1e-3


def test_layers_are_told_apart_by_what_their_time_grows_with() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.Conv2d(8, 6, 1),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4),
    )  # fmt: skip
    model.add_module("spare", nn.Identity())
    assert layouts(model, torch.zeros(1, 3, 9, 7)) == {
        "0": Layout(8, 3, "spatial", 12, 9, None),
        "1": Layout(8, 8, "grouped", 12, 9, 1),
        "2": Layout(6, 8, "pointwise", 12, 1, None),
        "5": Layout(4, 6, "pointwise", 1, 1, None),
    }


def test_channels_count_in_whole_blocks() -> None:
    assert SPATIAL.features(17, 32, 16) == [100 * 32 * 32 * 9, 32 * 32 * 9, 100 * 32, 1]
    assert SPATIAL.features(17, 31, 1) == [100 * 17 * 31 * 9, 17 * 31 * 9, 100 * 17, 1]
    assert GROUPED.features(17, 17, 8) == [25 * 24 * 25, 24 * 25, 25 * 24, 1]


@pytest.mark.parametrize("block", latency.BLOCKS)
def test_the_stairs_of_a_device_are_found(block: int) -> None:
    model = fit(KNOWN, [(sizes, us(sizes, block)) for sizes in drawn(24, 0)])
    assert model.block == block and model.error < 1e-6
    times = Times(KNOWN, model)
    assert times.sizes == {"a": (64, 32), "b": (96, 64), "c": (96, 96)}
    assert times.blocks == (() if block == 1 else (block, 2 * block))
    for sizes in drawn(10, 1):
        assert sum(times.of(name, *size) for name, size in sizes.items()) == pytest.approx(us(sizes, block), rel=1e-4)


def test_noise_leaves_the_order_of_networks_as_it_is() -> None:
    draw = np.random.default_rng(0)
    noisy = [(sizes, us(sizes, 16) * float(draw.uniform(0.95, 1.05))) for sizes in drawn(24, 0)]
    times = Times(KNOWN, fit(KNOWN, noisy))
    others = drawn(30, 1)
    foretold = [sum(times.of(name, *size) for name, size in sizes.items()) for sizes in others]
    assert spearmanr(foretold, [us(sizes, 16) for sizes in others]).statistic >= 0.95
