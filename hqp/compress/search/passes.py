"""The passes over images whose results are kept: sensitivity on ``calibration``, accuracy on ``selection``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hqp import documents
from hqp.compress.job import Draft, Job, Removal, calibration, stopwatch, taken
from hqp.compress.network import tensors
from hqp.compress.network.accuracy import accuracy
from hqp.compress.ranking import sensitivity
from hqp.compress.ranking.collect import Sensitivities
from hqp.compress.search import candidates
from hqp.records import Accuracy, Cost, Judged
from hqp.stats.paired import drop_pp


@dataclass(frozen=True)
class Pass:
    """One validation pass of a pruned model; no accuracy where the bound was certain to break before its end."""

    accuracy: Accuracy | None
    costs: tuple[Cost, ...]


def measured(job: Job, draft: Draft, model: nn.Module, key: Mapping[str, Any]) -> Sensitivities:
    """The sensitivities of every filter of a model that ``key`` names: one pass over images of ``calibration``."""
    images = taken(job, job.recipe.pruning.images if job.recipe.pruning else None)

    def build(folder: Path) -> None:
        cost = stopwatch("sensitivity")
        with job.track("sensitivity", images) as advance:
            found = sensitivity.sensitivities(model, _labelled(job, images, advance), job.warn)
        for name, values in vars(found).items():
            by_layer = {layer: one.contiguous() for layer, one in values.items()}
            tensors.save(by_layer, folder / f"{name}.safetensors")
        documents.write(folder / candidates.COST, cost(images, 1))

    from safetensors.torch import load_file

    place = job.store.make("sensitivity", {**key, "images": images}, build)
    draft.spend(job.store.read(place / candidates.COST, Cost))
    return Sensitivities(**{one.name: load_file(place / f"{one.name}.safetensors") for one in fields(Sensitivities)})


def _labelled(job: Job, count: int, advance: Callable[[int], None]) -> Iterator[tuple[Tensor, Tensor]]:
    for indices, images in calibration(job, count):
        yield torch.from_numpy(images), torch.from_numpy(job.calibration.labels[indices.start : indices.stop])
        advance(len(indices))


def validated(job: Job, draft: Draft, removal: Removal, floor: int | None = None) -> Pass:
    """One pass over ``selection``, stopped as soon as fewer than ``floor`` correct images are certain."""
    samples = job.selection

    def judge() -> Pass:
        made, recovered = candidates.made(job, draft, removal)
        cost, seen = stopwatch("validation"), 0
        with job.track("validation", len(samples)) as advance:

            def count(images: int) -> None:
                nonlocal seen
                seen += images
                advance(images)

            judged = accuracy(made.model, samples, job.input_size, floor_correct=floor, advance=count, say=job.warn)
        return Pass(judged, (*([recovered] if recovered else []), cost(seen, 1)))

    return job.store.record("validation", {**candidates.key(job, draft, removal), "floor": floor}, Pass, judge)


def holds(job: Job, draft: Draft, removal: Removal) -> bool:
    """Whether the model without these channels keeps the bound on ``selection``."""
    judged = validated(job, draft, removal, draft.floor)
    draft.spend(*judged.costs)
    return judged.accuracy is not None and within(job, draft.dense, judged.accuracy)


def verified(job: Job, draft: Draft, step: int) -> Accuracy:
    """The accuracy on ``selection``, in the runtime, of the file after so many pruning steps."""
    return _judged(draft, "verification", step, lambda: job.evaluate(candidates.file(job, draft, step)))


def tested(job: Job, draft: Draft, step: int) -> Accuracy:
    """The same on ``test``."""
    return _judged(draft, "certificate", step, lambda: job.test(candidates.file(job, draft, step)))


def _judged(draft: Draft, name: str, step: int, judge: Callable[[], Judged]) -> Accuracy:
    if (name, step) not in draft.judged:
        judged = judge()
        draft.spend(replace(judged.cost, step=name))
        draft.judged[name, step] = judged.accuracy
    return draft.judged[name, step]


def within(job: Job, reference: Accuracy | None, candidate: Accuracy) -> bool:
    """Whether the upper limit of the drop is within Δmax; without a confidence the floor has said all there is."""
    pruning = job.recipe.pruning
    assert reference is not None and pruning is not None
    if pruning.confidence is None:
        return True
    drop = drop_pp(reference.correct_images, candidate.correct_images, pruning.confidence)
    return drop.upper <= job.delta_max_pp
