"""What the engine is given, and what its steps have made so far."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hqp.compress.channels import groups
from hqp.compress.channels.recover import Shown
from hqp.compress.ranking import collect
from hqp.compress.training import TrainingRecipe
from hqp.records import (
    Accuracy,
    Calibrated,
    Certificate,
    Cost,
    Group,
    Judged,
    Policy,
    Ranking,
    Recipe,
    Recovered,
    Samples,
    Statistics,
    Targets,
)
from hqp.store import Store

Score = Callable[[Group, Statistics], npt.NDArray[np.float64]]
Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

# As in network/accuracy.py, where it is measured; sensitivity and calibration were not compared at other sizes.
BATCH = 32


@dataclass(frozen=True)
class Job:
    """All that the engine is given; what measures and what scores come in as functions.

    ``key`` names the trained weights and the splits. ``scores`` maps each ranking of the recipe to its score function,
    and ``needs`` are what these must have measured. ``device`` names the device and its environment.
    In the runtime that an exported file is made for, ``evaluate`` gives its accuracy on ``selection``, ``test`` that on
    the split of this name, ``outputs`` its logits for the first so many images of ``calibration``, and ``latency_ms``
    its median latency. ``train_images`` is how many images there are to
    train on, ``train`` reads them, and ``training`` is how the model is trained. ``warn`` shows the user a line.
    ``told`` gets the trained model's accuracy before minutes are spent on it, and may end the run.
    """

    model: nn.Module
    key: Mapping[str, Any]
    recipe: Recipe
    policy: Policy
    input_size: int
    calibration: Samples
    selection: Samples
    train_images: int
    train: Callable[[], Samples]
    training: TrainingRecipe
    seed: int
    delta_max_pp: float
    targets: Targets
    scores: Mapping[Ranking, Score]
    needs: frozenset[str]
    device: str
    evaluate: Callable[[Path], Judged]
    test: Callable[[Path], Judged]
    outputs: Callable[[Path, int], npt.NDArray[np.float32]]
    latency_ms: Callable[[Path], float]
    store: Store
    track: Track
    warn: Callable[[str], None]
    told: Callable[[Accuracy], None]

    @functools.cached_property
    def filters(self) -> int:
        """How many filters the trained model has, those of its output layer left out: the denominator of θ."""
        return sum(groups.filters(self.model, self.example).values())

    @property
    def example(self) -> Tensor:
        """An input of the network's size, for tracing: zeros of shape (1, 3, input_size, input_size)."""
        return torch.zeros(1, 3, self.input_size, self.input_size)


Removal = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True)
class Made:
    """The model without these channels; by which variant it is recovered, where it is, and what recovery took."""

    removal: Removal
    model: nn.Module
    recovered: Recovered | None = None
    cost: Cost | None = None


@dataclass
class Draft:
    """What the steps have made so far.

    ``removals[k]`` are the channels gone after k steps, none for k = 0, and ``files[k]`` is what is shipped of them,
    ``calibrated[k]`` how, where it is INT8; ``judged`` is its accuracy, by the step of the ledger and k.
    ``groups`` are those that may lose channels, ``removable`` the filters of all groups, kept or not, and
    ``inner_filters`` those of the inner ones.
    ``tuned`` are the weights of those that were trained. ``dense`` is the accuracy of the trained model on
    ``selection``, and ``floor`` the least number of correct images with which the bound can hold. ``shown`` is what
    recovery needs, and ``latest`` is the module made last. ``held`` says which layers keep all filters, and why;
    ``notes`` are what the user should know of the file.
    """

    measured: collect.Sensitivities | None = None
    groups: tuple[Group, ...] = ()
    removable: int = 0
    held: tuple[str, ...] = ()
    inner_filters: int = 0
    ranking: Ranking | None = None
    shown: Shown | None = None
    latest: Made | None = None
    removals: list[Removal] = field(default_factory=lambda: [{}])
    tuned: list[tuple[Removal, Path]] = field(default_factory=list)
    dense: Accuracy | None = None
    floor: int | None = None
    accepted: int = 0
    shipped: int = 0
    pruned: Accuracy | None = None
    compressed: Accuracy | None = None
    baseline: Accuracy | None = None
    certificate: Certificate | None = None
    recovered: Recovered | None = None
    notes: tuple[str, ...] = ()
    dense_file: Path = Path()
    files: dict[int, Path] = field(default_factory=dict)
    calibrated: dict[int, Calibrated] = field(default_factory=dict)
    judged: dict[tuple[str, int], Accuracy] = field(default_factory=dict)
    qat: Cost | None = None
    costs: dict[str, Cost] = field(default_factory=dict)

    def spend(self, *costs: Cost) -> None:
        """Adds what steps took to what they took before."""
        for cost in costs:
            before = self.costs.get(cost.step, Cost(cost.step, 0, 0, 0.0))
            seconds = round(before.seconds + cost.seconds, 3)
            self.costs[cost.step] = Cost(cost.step, before.images + cost.images, before.passes + cost.passes, seconds)

    @property
    def file(self) -> Path:
        """The file that is shipped."""
        return self.files[self.shipped]


def stopwatch(step: str) -> Callable[[int, int], Cost]:
    """Starts a watch; given images and passes, it says what the step took."""
    start = time.perf_counter()
    return lambda images, passes: Cost(step, images, passes, round(time.perf_counter() - start, 3))


def taken(job: Job, asked: int | None) -> int:
    """How many images of ``calibration`` a step takes that asks for so many, or for all."""
    return min(asked or len(job.calibration), len(job.calibration))


def calibration(job: Job, count: int) -> Iterator[tuple[range, npt.NDArray[np.float32]]]:
    """The first images of ``calibration`` in batches, normalised, each with its indices."""
    samples, last = job.calibration, taken(job, count)
    for start in range(0, last, BATCH):
        indices = range(start, min(start + BATCH, last))
        yield indices, samples.normalised(samples.read(indices, job.input_size))


def spread(job: Job, count: int) -> npt.NDArray[np.float32]:
    """So many images that lie evenly over ``calibration``, normalised: of all classes where it has them in order."""
    samples = job.calibration
    indices = np.unique(np.linspace(0, len(samples) - 1, count).astype(int)).tolist()
    return samples.normalised(samples.read(indices, job.input_size))
