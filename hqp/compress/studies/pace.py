"""What the sensitivity pass takes beside one ordinary forward and backward pass of the same images."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from hqp.compress.network import layout
from hqp.compress.ranking.sensitivity import sensitivities

CLASSES = 10

# Both passes are timed in turn, so that drift of the machine cancels in the ratio.
ROUNDS = 7


@dataclass(frozen=True)
class Pace:
    """The median seconds of a pass of ``images`` images, and the median of the rounds' ratios."""

    images: int
    ordinary_seconds: float
    sensitivity_seconds: float
    ratio: float


def pace(build: Callable[[int], nn.Module], input_size: int, batch: int, threads: int) -> Pace:
    """The pace of a network with random weights on one random batch, laid out alike in both passes."""
    torch.set_num_threads(threads)
    model, images, labels = _workload(build, input_size, batch)
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS + 1):
        times.append((_seconds(lambda: ordinary(model, images, labels)),
                      _seconds(lambda: sensitivities(model, [(images, labels)]))))  # fmt: skip
    times = times[1:]  # the first warms up
    ratio = statistics.median(mine / plain for plain, mine in times)
    plain, mine = (statistics.median(side) for side in zip(*times, strict=True))
    return Pace(batch, plain, mine, ratio)


def once(build: Callable[[int], nn.Module], input_size: int, batch: int, what: str) -> None:
    """One pass, ``ordinary`` or ``sensitivity``, for whoever watches this process's memory."""
    model, images, labels = _workload(build, input_size, batch)
    if what == "ordinary":
        ordinary(model, images, labels)
    else:
        sensitivities(model, [(images, labels)])


def ordinary(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    """Forward and backward as in training: gradients of every weight."""
    model.zero_grad(set_to_none=True)
    F.cross_entropy(model(images), labels).backward()


def _workload(build: Callable[[int], nn.Module], input_size: int, batch: int) -> tuple[nn.Module, Tensor, Tensor]:
    torch.manual_seed(0)
    model = build(CLASSES).eval()
    images = torch.randn(batch, 3, input_size, input_size)
    images = images.contiguous(memory_format=layout.fitted(model, images[:1]))
    return model, images, torch.arange(batch) % CLASSES


def _seconds(work: Callable[[], object | None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
