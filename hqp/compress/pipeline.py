"""The steps that turn a trained model into an artefact.

Each step keeps what it made in the store, so that a killed run goes on where it stopped, and methods that share a step
(the sensitivity pass, a validation pass of the same pruned model) share its result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, fields
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hqp.compress import (
    bound,
    calibrate,
    export,
    groups,
    layers,
    prune,
    quantize,
    recover,
    sensitivity,
    statistics,
    weights,
)
from hqp.compress.evaluate import accuracy
from hqp.errors import HqpError
from hqp.records import Accuracy, Cost, Group, Policy, Pruning, Ranking, Recipe, Samples, Statistics
from hqp.stats.paired import drop_pp
from hqp.store import Store

Score = Callable[[Group, Statistics], npt.NDArray[np.float64]]
Track = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]

# As in evaluate.py, where it is measured; sensitivity and calibration were not compared at other sizes.
BATCH = 32

# So far above chance, in standard deviations, a model that knows its classes lies.
CHANCE_DEVIATIONS = 3


@dataclass(frozen=True)
class Job:
    """All that the engine is given; what measures and what scores come in as functions.

    ``key`` names the trained weights and the splits. ``scores`` maps each ranking of the recipe to its score function.
    ``evaluate`` gives the accuracy of an exported file on ``selection`` in the runtime it is made for; ``warn`` shows
    the user a line.
    """

    model: nn.Module
    key: Mapping[str, Any]
    recipe: Recipe
    policy: Policy
    input_size: int
    calibration: Samples
    selection: Samples
    delta_max_pp: float
    scores: Mapping[Ranking, Score]
    needs_sensitivity: bool
    evaluate: Callable[[Path], Accuracy]
    store: Store
    track: Track
    warn: Callable[[str], None]

    @property
    def example(self) -> Tensor:
        """An input of the network's size, for tracing: zeros of shape (1, 3, input_size, input_size)."""
        return torch.zeros(1, 3, self.input_size, self.input_size)


@dataclass(frozen=True)
class Pass:
    """One validation pass of a pruned model; no accuracy where the bound was certain to break before its end."""

    accuracy: Accuracy | None
    cost: Cost


@dataclass(frozen=True)
class Ranges:
    """Calibrated activation ranges, lowest and highest value by tensor."""

    ranges: dict[str, tuple[float, float]]
    cost: Cost


Removal = Mapping[str, tuple[int, ...]]


@dataclass
class Draft:
    """What the steps have made so far.

    ``removals[k]`` are the channels gone after k steps, none for k = 0, and ``files[k]`` is what is shipped of them.
    ``dense`` is the accuracy of the trained model on ``selection``, and ``floor`` the least number of correct images
    with which the bound can hold.
    """

    measured: statistics.Sensitivities | None = None
    groups: tuple[Group, ...] = ()
    ranking: Ranking | None = None
    removals: list[Removal] = field(default_factory=lambda: [{}])
    dense: Accuracy | None = None
    floor: int | None = None
    accepted: int = 0
    shipped: int = 0
    pruned: Accuracy | None = None
    compressed: Accuracy | None = None
    baseline: Accuracy | None = None
    dense_file: Path = Path()
    files: dict[int, Path] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)

    def spend(self, cost: Cost) -> None:
        """Adds what a step took to what it took before."""
        before = self.costs.get(cost.step, Cost(cost.step, 0, 0, 0.0))
        seconds = round(before.seconds + cost.seconds, 3)
        self.costs[cost.step] = Cost(cost.step, before.images + cost.images, before.passes + cost.passes, seconds)

    @property
    def file(self) -> Path:
        """The file that is shipped."""
        return self.files[self.shipped]


def run(job: Job) -> Draft:
    """The finished draft of a job: its file, and all that the sidecar says of it."""
    draft = Draft()
    for step in STEPS:
        step(job, draft)
    return draft


def _stopwatch(step: str) -> Callable[[int, int], Cost]:
    start = time.perf_counter()
    return lambda images, passes: Cost(step, images, passes, round(time.perf_counter() - start, 3))


def judge_dense(job: Job, draft: Draft) -> None:
    """The trained model as it is: exported and judged before minutes are spent on it."""
    draft.dense_file = _export(job, draft, {})
    draft.baseline = job.evaluate(draft.dense_file)
    classes = job.selection.classes
    chance = 1 / len(classes)
    if draft.baseline.top1 <= chance + CHANCE_DEVIATIONS * sqrt(chance * (1 - chance) / draft.baseline.total):
        job.warn(
            f"warning: top-1 of the trained model is {draft.baseline.top1:.1%}, as by chance; do its outputs follow the"
            f" order of the dataset's classes ({', '.join(classes[:3])}, …)?"
        )


def find_sensitivity(job: Job, draft: Draft) -> None:
    """One pass over ``calibration`` gives the sensitivities of every filter, where a criterion asks for one."""
    if not job.needs_sensitivity:
        return

    def build(folder: Path) -> None:
        from safetensors.torch import save_file

        from hqp import documents

        cost = _stopwatch("sensitivity")
        with job.track("sensitivity", len(job.calibration)) as advance:
            measured = sensitivity.sensitivities(job.model, _labelled(job, advance))
        for name, values in vars(measured).items():
            save_file({layer: one.contiguous() for layer, one in values.items()}, folder / f"{name}.safetensors")
        documents.write(folder / "cost.json", cost(len(job.calibration), 1))

    from safetensors.torch import load_file

    from hqp import documents

    place = job.store.make("sensitivity", job.key, build)
    names = [one.name for one in fields(statistics.Sensitivities)]
    draft.measured = statistics.Sensitivities(**{name: load_file(place / f"{name}.safetensors") for name in names})
    draft.spend(documents.read(place / "cost.json", Cost, fix=f"rm -r {place}"))


def _labelled(job: Job, advance: Callable[[int], None]) -> Iterator[tuple[Tensor, Tensor]]:
    for indices, images in _calibration(job, len(job.calibration)):
        yield torch.from_numpy(images), torch.from_numpy(job.calibration.labels[indices.start : indices.stop])
        advance(len(indices))


def _calibration(job: Job, count: int) -> Iterator[tuple[range, npt.NDArray[np.float32]]]:
    """The first images of ``calibration`` in batches, normalised, each with its indices."""
    samples = job.calibration
    last = min(count, len(samples))
    for start in range(0, last, BATCH):
        indices = range(start, min(start + BATCH, last))
        yield indices, samples.normalised(samples.read(indices, job.input_size))


def prune_under_bound(job: Job, draft: Draft) -> None:
    """Algorithm 1 along each ranking of the recipe; the one that removes most filters is kept."""
    pruning = job.recipe.pruning
    if pruning is None:
        return
    dense = _validate(job, draft, {})
    if dense.accuracy is None:
        raise HqpError("the dense model was not judged to its end")
    draft.spend(dense.cost)
    draft.groups = groups.without(groups.find_groups(job.model, job.example), pruning.keep, job.model)
    collected = statistics.collect(job.model, job.example, draft.measured)
    draft.dense, counts = dense.accuracy, (dense.accuracy.correct, dense.accuracy.total)
    draft.floor = bound.floor_correct(*counts, job.delta_max_pp, pruning.confidence)
    removed = -1
    for ranking in pruning.rankings:
        removals = _removals(job, pruning, ranking, draft.groups, collected)
        accepted = _search(job, draft, pruning, removals)
        filters = _filters(draft.groups, removals[accepted])
        if filters > removed:
            removed, draft.ranking, draft.removals, draft.accepted = filters, ranking, removals, accepted


def _removals(
    job: Job, pruning: Pruning, ranking: Ranking, found: tuple[Group, ...], collected: Statistics
) -> list[Removal]:
    scores = {group.name: job.scores[ranking](group, collected) for group in found}
    step_filters = max(1, round(pruning.step_fraction * sum(groups.filters(job.model).values())))
    return [{}, *prune.steps(found, prune.ranked(found, scores), step_filters)]


def _filters(found: tuple[Group, ...], removal: Removal) -> int:
    by_name = {group.name: group for group in found}
    return sum(by_name[name].filters(channel) for name, channels in removal.items() for channel in channels)


def _search(job: Job, draft: Draft, pruning: Pruning, removals: list[Removal]) -> int:
    def holds(step: int) -> bool:
        judged = _validate(job, draft, removals[step])
        draft.spend(judged.cost)
        return judged.accuracy is not None and _within(job, draft.dense, judged.accuracy)

    return bound.search(holds, len(removals) - 1, pruning.search, beat=draft.accepted)


def _within(job: Job, reference: Accuracy | None, candidate: Accuracy) -> bool:
    """Whether the upper limit of the drop is within Δmax; without a confidence the floor has said all there is."""
    pruning = job.recipe.pruning
    assert reference is not None and pruning is not None
    if pruning.confidence is None:
        return True
    drop = drop_pp(reference.correct_images, candidate.correct_images, pruning.confidence)
    return drop.upper <= job.delta_max_pp


def _validate(job: Job, draft: Draft, removal: Removal) -> Pass:
    """One pass over ``selection``, stopped as soon as the bound is certain to break."""
    samples, floor = job.selection, draft.floor

    def judge() -> Pass:
        cost, seen = _stopwatch("validation"), 0
        smaller = candidate(job, draft, removal)
        with job.track("validation", len(samples)) as advance:

            def count(images: int) -> None:
                nonlocal seen
                seen += images
                advance(images)

            judged = accuracy(smaller, samples, job.input_size, floor_correct=floor, advance=count)
        return Pass(judged, cost(seen, 1))

    return job.store.record("validation", {**_key(job, removal), "floor": floor}, Pass, judge)


def candidate(job: Job, draft: Draft, removal: Removal) -> nn.Module:
    """The trained model without these channels, recovered as the recipe says."""
    smaller = groups.remove(job.model, job.example, removal, draft.groups)
    how = job.recipe.pruning.recovery if job.recipe.pruning else None
    if how is None or not removal:
        return smaller
    fitted = recover.fitted(smaller, groups.lost_inputs(draft.groups, removal))

    def build(folder: Path) -> None:
        gone = layers.removed_filters(draft.groups, removal)
        kept = {name: [one for one in range(len(layer.weight)) if one not in gone.get(name, ())]
                for name, layer in statistics.layers(job.model).items()}  # fmt: skip

        def batches() -> Iterator[Tensor]:
            return (torch.from_numpy(images) for _, images in _calibration(job, how.images))

        with job.track("recovery", len(fitted)) as advance:
            recover.refit(job.model, smaller, kept, fitted, batches, advance)
        weights.write(folder / "weights.safetensors", smaller.state_dict())

    place = job.store.make("recovered", _key(job, removal), build)
    recover.make_room(smaller, fitted)
    weights.fill(smaller, weights.read(place / "weights.safetensors"), str(place))
    return smaller


def ship(job: Job, draft: Draft) -> None:
    """The file that is shipped: exported, quantised, and where the recipe says so, given back until the bound holds."""
    draft.shipped = _deepest(job, draft) if job.recipe.give_back else draft.accepted
    draft.compressed = job.evaluate(_file(job, draft, draft.shipped))
    if draft.shipped:
        draft.pruned = _validate(job, draft, draft.removals[draft.shipped]).accuracy


def _deepest(job: Job, draft: Draft) -> int:
    def holds(step: int) -> bool:
        return _within(job, draft.baseline, job.evaluate(_file(job, draft, step)))

    return bound.give_back(holds, draft.accepted)


def _file(job: Job, draft: Draft, step: int) -> Path:
    if step not in draft.files:
        draft.files[step] = _shippable(job, draft, draft.removals[step])
    return draft.files[step]


def _shippable(job: Job, draft: Draft, removal: Removal) -> Path:
    exported = _export(job, draft, removal)
    if job.recipe.quantization is None:
        return exported
    ranges = _ranges(job, exported, removal)
    draft.spend(ranges.cost)
    key = {**_key(job, removal), "policy": vars(job.policy), "how": vars(job.recipe.quantization)}
    place = job.store.make(
        "quantized", key, lambda folder: quantize.quantize(exported, folder / "model.onnx", ranges.ranges, job.policy)
    )
    return place / "model.onnx"


def _key(job: Job, removal: Removal) -> dict[str, Any]:
    how = job.recipe.pruning.recovery if job.recipe.pruning and removal else None
    gone = {name: list(channels) for name, channels in removal.items()}
    return {**job.key, "removal": gone, "recovery": asdict(how) if how else None}


def _export(job: Job, draft: Draft, removal: Removal) -> Path:
    def build(folder: Path) -> None:
        export.export(candidate(job, draft, removal), job.input_size, folder / "model.onnx")

    with job.track("export", 0):
        return job.store.make("exported", _key(job, removal), build) / "model.onnx"


def _ranges(job: Job, exported: Path, removal: Removal) -> Ranges:
    how, samples = job.recipe.quantization, job.calibration
    assert how is not None
    images = min(how.images, len(samples))

    def batches() -> Iterator[npt.NDArray[np.float32]]:
        return (batch for _, batch in _calibration(job, images))

    def compute() -> Ranges:
        cost = _stopwatch("calibration")
        with job.track("calibration", images) as advance:
            ranges = calibrate.ranges(exported, batches, how.calibration, job.policy, advance)
        return Ranges(ranges, cost(images, 1))

    key = {**_key(job, removal), "policy": vars(job.policy), "how": vars(how)}
    return job.store.record("ranges", key, Ranges, compute)


STEPS: tuple[Callable[[Job, Draft], None], ...] = (judge_dense, find_sensitivity, prune_under_bound, ship)
