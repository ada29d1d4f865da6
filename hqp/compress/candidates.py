"""What is made of the trained model without some of its channels: a module, and the file that is shipped of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hqp.compress import calibrate, export, groups, quantize, recover
from hqp.compress.job import Draft, Job, Removal, calibration, stopwatch
from hqp.records import Cost, Recovery


@dataclass(frozen=True)
class Ranges:
    """Calibrated activation ranges, lowest and highest value by tensor."""

    ranges: dict[str, tuple[float, float]]
    cost: Cost


def module(job: Job, draft: Draft, removal: Removal) -> nn.Module:
    """The trained model without these channels, recovered as the recipe says; the one made last is kept."""
    if draft.latest is None or draft.latest[0] != removal:
        draft.latest = removal, _recovered(job, draft, removal)
    return draft.latest[1]


def _recovered(job: Job, draft: Draft, removal: Removal) -> nn.Module:
    smaller = groups.remove(job.model, job.example, removal, draft.groups)
    how = recovery(job, removal)
    if how is None:
        return smaller
    if "least_squares" in how.how:
        seen = grams(job, draft, how)
        with job.track("recovery", 0):
            recover.refit(job.model, smaller, groups.removed(draft.groups, removal), seen)
    if "batch_norm" in how.how:
        recover.renormalise(smaller, _images(job, how.images))
    return smaller


def recovery(job: Job, removal: Removal) -> Recovery | None:
    """What is done for a model without these channels."""
    return job.recipe.pruning.recovery if job.recipe.pruning and removal else None


def _images(job: Job, count: int) -> Iterator[Tensor]:
    return (torch.from_numpy(images) for _, images in calibration(job, count))


def grams(job: Job, draft: Draft, how: Recovery) -> dict[str, Tensor]:
    """The Gram matrices of every layer that can lose inputs: one pass over calibration images."""
    if draft.grams is not None:
        return draft.grams
    losing = {member.layer for group in draft.groups for member in group.members if member.role == "input"}
    names = recover.fitted(job.model, losing)

    def build(folder: Path) -> None:
        from safetensors.torch import save_file

        from hqp import documents

        cost = stopwatch("recovery")
        images = min(how.images, len(job.calibration))
        with job.track("recovery", images) as advance:
            found = recover.grams(job.model, names, _images(job, images), advance)
        save_file(found, folder / "grams.safetensors")
        documents.write(folder / "cost.json", cost(images, 1))

    from safetensors.torch import load_file

    from hqp import documents

    place = job.store.make("grams", {**job.key, "layers": names, "images": how.images}, build)
    draft.spend(documents.read(place / "cost.json", Cost, fix=f"rm -r {place}"))
    draft.grams = load_file(place / "grams.safetensors")
    return draft.grams


def file(job: Job, draft: Draft, step: int) -> Path:
    """The file that is shipped after so many pruning steps."""
    if step not in draft.files:
        draft.files[step] = _shippable(job, draft, draft.removals[step])
    return draft.files[step]


def _shippable(job: Job, draft: Draft, removal: Removal) -> Path:
    plain, how = exported(job, draft, removal), job.recipe.quantization
    if how is None:
        return plain
    ranges = _ranges(job, plain, removal)
    draft.spend(ranges.cost)

    def build(folder: Path) -> None:
        quantize.quantize(plain, folder / "model.onnx", ranges.ranges, job.policy)

    return job.store.make("quantized", _quantised_key(job, removal), build) / "model.onnx"


def exported(job: Job, draft: Draft, removal: Removal) -> Path:
    """The FP32 file of the model without these channels."""

    def build(folder: Path) -> None:
        export.export(module(job, draft, removal), job.input_size, folder / "model.onnx")

    with job.track("export", 0):
        return job.store.make("exported", key(job, removal), build) / "model.onnx"


def _ranges(job: Job, plain: Path, removal: Removal) -> Ranges:
    how, samples = job.recipe.quantization, job.calibration
    assert how is not None
    images = min(how.images, len(samples))

    def batches() -> Iterator[npt.NDArray[np.float32]]:
        return (batch for _, batch in calibration(job, images))

    def compute() -> Ranges:
        cost = stopwatch("calibration")
        with job.track("calibration", images) as advance:
            ranges = calibrate.ranges(plain, batches, how.calibration, job.policy, advance)
        return Ranges(ranges, cost(images, 1))

    return job.store.record("ranges", _quantised_key(job, removal), Ranges, compute)


def key(job: Job, removal: Removal) -> dict[str, Any]:
    """What a model without these channels depends on."""
    how, gone = recovery(job, removal), {name: list(channels) for name, channels in removal.items()}
    return {**job.key, "removal": gone, "recovery": asdict(how) if how else None}


def _quantised_key(job: Job, removal: Removal) -> dict[str, Any]:
    return {**key(job, removal), "policy": asdict(job.policy), "how": vars(job.recipe.quantization)}
