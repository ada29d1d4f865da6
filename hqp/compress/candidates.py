"""What is made of the trained model without some of its channels: a module, and the file that is shipped of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from hqp import documents
from hqp.compress import export, groups, int8, recover, tensors
from hqp.compress.job import Draft, Job, Removal, calibration, spread, stopwatch, taken
from hqp.compress.memory import Parts
from hqp.compress.statistics import layers
from hqp.records import Cost, Recovery

WEIGHTS, FILE, COST = "weights.safetensors", "model.onnx", "cost.json"

# On how many calibration images an exported file is compared with its module: one for each of some classes, in about
# the time that the export itself takes.
COMPARED = 16


def module(job: Job, draft: Draft, removal: Removal) -> nn.Module:
    """The trained model without these channels, recovered as the recipe says; the one made last is kept."""
    return made(job, draft, removal)[0]


def made(job: Job, draft: Draft, removal: Removal) -> tuple[nn.Module, Cost | None]:
    """The same, with what its recovery took where there is one and it was not done last."""
    if draft.latest is not None and draft.latest[0] == removal:
        return draft.latest[1], None
    cost, how = stopwatch("recovery"), recovery(job, draft, removal)
    draft.latest = removal, _made(job, draft, removal)
    return draft.latest[1], cost(taken(job, how.images), 1) if how else None


def _made(job: Job, draft: Draft, removal: Removal) -> nn.Module:
    tuned = weights(draft, removal)
    if tuned is None and not removal:  # what loses nothing needs no copy, which not every network has
        return job.model
    if tuned is None:
        return recovered(job, draft, job.model, removal, recovery(job, draft, removal))
    from safetensors.torch import load_file

    smaller, state = groups.remove(job.model, removal, draft.groups), load_file(tuned)
    for name, layer in layers(smaller).items():
        if f"{name}.bias" in state and layer.bias is None:  # recovery gave it one
            layer.bias = nn.Parameter(state[f"{name}.bias"])
    smaller.load_state_dict(state)
    return smaller


def recovered(job: Job, draft: Draft, model: nn.Module, removal: Removal, how: Recovery | None) -> nn.Module:
    """A model of the trained one's shape without these channels, and what recovery makes of it."""
    smaller = groups.remove(model, removal, draft.groups)
    if how is None:
        return smaller
    if "least_squares" in how.how:
        seen = grams(job, draft, how) if model is job.model else _grams(job, draft, model, how)
        with job.track("recovery", 0):
            recover.refit(model, smaller, groups.removed(draft.groups, removal), seen)
    if "batch_norm" in how.how:
        Parts(job.warn).anew(lambda: _images(job, how.images), partial(recover.renormalise, smaller))
    return smaller


def recovery(job: Job, draft: Draft, removal: Removal) -> Recovery | None:
    """What is done without training for a model without these channels."""
    asked = job.recipe.pruning is not None and removal and weights(draft, removal) is None
    return job.recipe.pruning.recovery if job.recipe.pruning and asked else None


def weights(draft: Draft, removal: Removal) -> Path | None:
    """The file with the weights of the model without these channels, where it was trained."""
    return next((file for known, file in draft.tuned if known == removal), None)


def _images(job: Job, count: int) -> Iterator[Tensor]:
    return (torch.from_numpy(images) for _, images in calibration(job, count))


def grams(job: Job, draft: Draft, how: Recovery) -> dict[str, Tensor]:
    """The Gram matrices of every layer that can lose inputs: one pass over calibration images."""
    if draft.grams is not None:
        return draft.grams
    names = recover.losing(job.model, draft.groups)

    def build(folder: Path) -> None:
        cost = stopwatch("recovery")
        tensors.save(_grams(job, draft, job.model, how), folder / "grams.safetensors")
        documents.write(folder / COST, cost(taken(job, how.images), 1))

    from safetensors.torch import load_file

    place = job.store.make("grams", {**job.key, "layers": names, "images": how.images}, build)
    draft.spend(job.store.read(place / COST, Cost))
    draft.grams = load_file(place / "grams.safetensors")
    return draft.grams


def _grams(job: Job, draft: Draft, model: nn.Module, how: Recovery) -> dict[str, Tensor]:
    images = taken(job, how.images)
    with job.track("recovery", images) as advance:
        measure = partial(recover.grams, model, recover.losing(job.model, draft.groups), advance=advance)
        return Parts(job.warn).anew(lambda: _images(job, images), measure)


def file(job: Job, draft: Draft, step: int) -> Path:
    """The file that is shipped after so many pruning steps."""
    if step not in draft.files:
        removal, how = draft.removals[step], job.recipe.quantization
        draft.files[step] = exported(job, draft, removal)
        if how is not None:
            known = key(job, draft, removal)
            draft.files[step], draft.calibrated[step] = int8.quantised(job, draft, how, draft.files[step], known)
    return draft.files[step]


def exported(job: Job, draft: Draft, removal: Removal) -> Path:
    """The FP32 file of the model without these channels."""
    place = _exported(job, key(job, draft, removal), lambda: made(job, draft, removal))
    if (place / COST).exists():
        draft.spend(job.store.read(place / COST, Cost))
    return place / FILE


def unrecovered(job: Job, draft: Draft, removal: Removal) -> Path:
    """As ``exported``, without recovery: for what depends on shapes alone."""
    shape = {**job.key, "removal": listed(removal), "recovery": None}
    return _exported(job, shape, lambda: (groups.remove(job.model, removal, draft.groups), None)) / FILE


def _exported(job: Job, known: Mapping[str, Any], build: Callable[[], tuple[nn.Module, Cost | None]]) -> Path:
    def write(folder: Path) -> None:
        model, cost = build()
        export.export(model, job.input_size, folder / FILE, spread(job, COMPARED))
        if cost:
            documents.write(folder / COST, cost)

    with job.track("export", 0):
        return job.store.make("exported", known, write)


def key(job: Job, draft: Draft, removal: Removal) -> dict[str, Any]:
    """What a model without these channels depends on."""
    how, tuned = recovery(job, draft, removal), weights(draft, removal)
    trained = {"tuned": tuned.parent.name} if tuned else {}
    return {**job.key, "removal": listed(removal), "recovery": asdict(how) if how else None, **trained}


def listed(removal: Removal) -> dict[str, list[int]]:
    """The channels that are gone, as a key holds them."""
    return {name: list(channels) for name, channels in removal.items()}
