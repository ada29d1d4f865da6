"""What the engine is given, and the images of ``calibration`` in the order in which its steps see them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hqp.compress.channels import groups
from hqp.compress.training import TrainingRecipe
from hqp.records import Accuracy, Estimate, Floats, Group, Judged, Policy, Ranking, Recipe, Samples, Statistics, Targets
from hqp.store import Store

Criterion = Callable[[Group, Statistics], npt.NDArray[np.float64]]
Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

# As in network/accuracy.py, where it is measured; sensitivity and calibration were not compared at other sizes.
BATCH = 32


@dataclass(frozen=True)
class Job:
    """All that the engine is given; what measures and what scores come in as functions."""

    # The trained model, and what names its weights and the splits.
    model: nn.Module
    key: Mapping[str, Any]
    recipe: Recipe
    policy: Policy
    input_size: int
    calibration: Samples
    selection: Samples
    # How many images there are to train on, what reads them, and how the model itself is trained.
    train_images: int
    train: Callable[[], Samples]
    training: TrainingRecipe
    seed: int
    delta_max_pp: float
    targets: Targets
    # What scores the channels for each ranking of the recipe, and what these must have measured.
    scores: Mapping[Ranking, Criterion]
    needs: frozenset[str]
    # The device and its environment.
    device: str
    # In the runtime that a file is made for: its accuracy on ``selection`` and on ``test``, its logits for the first so
    # many images of ``calibration``, and the median latencies of several that are timed in turn; ``is_timed`` says
    # whether that can be had, since the device is at hand.
    evaluate: Callable[[Path], Judged]
    test: Callable[[Path], Judged]
    outputs: Callable[[Path, int], npt.NDArray[np.float32]]
    latencies_ms: Callable[[Sequence[Path]], list[float]]
    is_timed: bool
    store: Store
    track: Track
    # Shows the user a line.
    warn: Callable[[str], None]
    # Gets the trained model's accuracy before minutes are spent on it, and may end the run.
    told: Callable[[Accuracy], None]
    # In what the device computes best beside INT8, what a file's operators take there in ms, and how many times as fast
    # as a first file a second one is; nothing where the device is not at hand.
    floats: Literal["fp32", "bf16"] = "fp32"
    # In which floats the device computes a file throughout.
    dense: tuple[Floats, ...] = ("fp32",)
    operator_ms: Callable[[Path], dict[str, float]] = lambda file: {}
    speedup: Callable[[Path, Path], Estimate | None] = lambda reference, candidate: None
    # The energy of one inference of a file on the device, in mJ; ``None`` where that is not at hand, or has no meter.
    energy_mj: Callable[[Path], float] | None = None

    @functools.cached_property
    def filters(self) -> int:
        """How many filters the trained model has, those of its output layer left out: the denominator of θ."""
        return sum(groups.filters(self.model, self.example).values())

    def latency_ms(self, file: Path) -> float:
        """The median latency of a file on the device."""
        (latency_ms,) = self.latencies_ms([file])
        return latency_ms

    @property
    def example(self) -> Tensor:
        """An input of the network's size, for tracing: zeros of shape (1, 3, input_size, input_size)."""
        return torch.zeros(1, 3, self.input_size, self.input_size)


def calibration_count(job: Job, asked: int | None) -> int:
    """How many images of ``calibration`` a step sees that asks for so many, or with ``None`` for all."""
    return min(asked or len(job.calibration), len(job.calibration))


def calibration_batches(job: Job, count: int) -> Iterator[tuple[range, npt.NDArray[np.float32]]]:
    """The first images of ``calibration`` in batches, normalised, each with its indices."""
    samples, last = job.calibration, calibration_count(job, count)
    for start in range(0, last, BATCH):
        indices = range(start, min(start + BATCH, last))
        yield indices, samples.normalised(samples.read(indices, job.input_size))


def spread_images(job: Job, count: int) -> npt.NDArray[np.float32]:
    """So many images that lie evenly over ``calibration``, normalised: of all classes where it has them in order."""
    samples = job.calibration
    indices = np.unique(np.linspace(0, len(samples) - 1, count).astype(int)).tolist()
    return samples.normalised(samples.read(indices, job.input_size))
