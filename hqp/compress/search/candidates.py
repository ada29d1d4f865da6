"""What is made of the trained model without some of its channels: a module, and the file that is shipped of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import nn

from hqp import documents, typings
from hqp.compress.channels import groups
from hqp.compress.exporting import export
from hqp.compress.job import Draft, Job, Made, Removal, spread
from hqp.compress.network.layers import layers
from hqp.compress.quantisation import int8
from hqp.compress.search.recovery import recovered
from hqp.records import Cost, Recovery

WEIGHTS, FILE, COST = "weights.safetensors", "model.onnx", "cost.json"

# On how many calibration images an exported file is compared with its module: one for each of some classes, in about
# the time that the export itself takes.
COMPARED = 16


def module(job: Job, draft: Draft, removal: Removal) -> nn.Module:
    """The trained model without these channels, recovered as the recipe says; the one made last is kept."""
    return made(job, draft, removal)[0].model


def made(job: Job, draft: Draft, removal: Removal) -> tuple[Made, Cost | None]:
    """That model with how it was recovered, and what its recovery cost unless it was made last."""
    if draft.latest is not None and draft.latest.removal == removal:
        return draft.latest, None
    draft.latest = _made(job, draft, removal)
    return draft.latest, draft.latest.cost


def _made(job: Job, draft: Draft, removal: Removal) -> Made:
    tuned, how = weights(draft, removal), recovery(job, draft, removal)
    if tuned is None and not removal:  # what loses nothing needs no copy, which not every network has
        return Made(removal, job.model)
    if how is not None:
        return recovered(job, draft, job.model, removal, how)
    smaller = groups.remove(job.model, removal, draft.groups)
    if tuned is None:
        return Made(removal, smaller)
    from safetensors.torch import load_file

    state = load_file(tuned)
    for name, layer in layers(smaller).items():
        if f"{name}.bias" in state and layer.bias is None:  # recovery gave it one
            layer.bias = nn.Parameter(state[f"{name}.bias"])
    smaller.load_state_dict(state)
    return Made(removal, smaller)


def recovery(job: Job, draft: Draft, removal: Removal) -> Recovery | None:
    """What is done without training for a model without these channels."""
    asked = job.recipe.pruning is not None and removal and weights(draft, removal) is None
    return job.recipe.pruning.recovery if job.recipe.pruning and asked else None


def weights(draft: Draft, removal: Removal) -> Path | None:
    """The file with the weights of the model without these channels, where it was trained."""
    return next((file for known, file in draft.tuned if known == removal), None)


def file(job: Job, draft: Draft, step: int) -> Path:
    """The file that is shipped after so many pruning steps."""
    if step not in draft.files:
        removal, how = draft.removals[step], job.recipe.quantization
        draft.files[step] = exported(job, draft, removal)
        if how is not None:
            known = key(job, draft, removal)
            draft.files[step], draft.calibrated[step] = int8.quantised(job, draft, how, draft.files[step], known)
        elif job.recipe.precision == "fp16":
            draft.files[step] = halved(job, key(job, draft, removal), draft.files[step])
    return draft.files[step]


def halved(job: Job, known: Mapping[str, Any], plain: Path) -> Path:
    """The FP16 file of an FP32 file ``plain``; ``known`` names the FP32 file."""
    place = job.store.make("halved", known, lambda folder: typings.typed(plain, folder / FILE))
    return place / FILE


def exported(job: Job, draft: Draft, removal: Removal) -> Path:
    """The FP32 file of the model without these channels."""
    place = _exported(job, key(job, draft, removal), lambda: made(job, draft, removal))
    if (place / COST).exists():
        draft.spend(job.store.read(place / COST, Cost))
    return place / FILE


def unrecovered(job: Job, draft: Draft, removal: Removal) -> Path:
    """As ``exported``, without recovery: for what depends on shapes alone."""
    shape = {**job.key, "removal": listed(removal), "recovery": None}

    def build() -> tuple[Made, None]:
        return Made(removal, groups.remove(job.model, removal, draft.groups)), None

    return _exported(job, shape, build) / FILE


def _exported(job: Job, known: Mapping[str, Any], build: Callable[[], tuple[Made, Cost | None]]) -> Path:
    def write(folder: Path) -> None:
        made, cost = build()
        export.export(made.model, job.input_size, folder / FILE, spread(job, COMPARED))
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
