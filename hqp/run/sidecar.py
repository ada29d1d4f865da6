"""The sidecar of an artefact, put together from what was asked for and what the engine made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hqp
from hqp.records import (
    Accuracies,
    Choices,
    Filters,
    ImagesUsed,
    ModelFile,
    Network,
    Origin,
    Samples,
    Settings,
    Sidecar,
    Spent,
)
from hqp.run.context import Context
from hqp.run.inputs.request import Request
from hqp.run.inputs.subject import Subject
from hqp.store import sha256_of

if TYPE_CHECKING:
    from hqp.compress.job import Draft, Job


def sidecar_of(context: Context, found: Subject, job: Job, draft: Draft, used: Sequence[Samples]) -> Sidecar:
    """What ``hqp.json`` says of a finished draft; ``used`` are the splits whose images took part."""
    request = found.request
    return Sidecar(
        schema_version=Sidecar.SCHEMA,
        network=_network(request, job),
        images=_images(request, found, used),
        settings=_settings(request, job),
        file=model_file(draft.file),
        fp32_file=model_file(draft.dense_file),
        filters=_filters(job, draft),
        choices=_choices(job, draft),
        accuracy=_accuracy(draft),
        certificate=draft.certificate,
        notes=draft.notes,
        spent=Spent(steps=tuple(draft.costs.values()), qat=draft.qat),
        origin=_origin(context, request, job),
    )


def _network(request: Request, job: Job) -> Network:
    return Network(
        name=request.model.name,
        source=request.model.source,
        checkpoint_sha256=job.key["checkpoint"],
        input_size=job.input_size,
        num_classes=len(job.selection.classes),
    )


def _images(request: Request, found: Subject, used: Sequence[Samples]) -> ImagesUsed:
    skipped = [name for samples in used for name in samples.skipped]
    return ImagesUsed(
        dataset=request.dataset,
        reading=found.reading,
        mean=used[0].mean,
        std=used[0].std,
        split_digests={samples.split: samples.digest for samples in used},
        skipped=tuple(skipped),
    )


def _settings(request: Request, job: Job) -> Settings:
    return Settings(
        method=request.method,
        recipe=job.recipe,
        seed=request.seed,
        delta_max_pp=job.delta_max_pp,
        targets=job.targets,
    )


def model_file(path: Path) -> ModelFile:
    """The digest, the size and the counts of an ONNX file."""
    from hqp.compress.exporting import count

    return ModelFile(
        sha256=sha256_of(path),
        size_bytes=path.stat().st_size,
        parameters=count.parameters(path),
        macs=count.macs(path),
    )


def _filters(job: Job, draft: Draft) -> Filters:
    from hqp.compress.channels import groups

    removal = draft.removals[draft.shipped]
    removed = groups.filters_removed(draft.groups, removal)

    inner_groups = groups.inner(draft.groups)
    inner_names = {group.name for group in inner_groups}
    inner_removal = {name: channels for name, channels in removal.items() if name in inner_names}
    inner_removed = groups.filters_removed(inner_groups, inner_removal)

    return Filters(
        total=job.filters,
        kept=job.filters - removed,
        inner=draft.inner_filters,
        inner_kept=draft.inner_filters - inner_removed,
    )


def _choices(job: Job, draft: Draft) -> Choices:
    return Choices(
        ranking=str(draft.ranking) if draft.ranking else None,
        accepted_steps=draft.accepted,
        shipped_steps=draft.shipped,
        recovered=draft.recovered,
        calibrated=draft.calibrated.get(draft.shipped),
        policy=job.policy if job.recipe.quantization else None,
    )


def _accuracy(draft: Draft) -> Accuracies:
    assert draft.baseline is not None, "the pipeline measures the trained model before all else"
    return Accuracies(fp32=draft.baseline, pruned=draft.pruned, shipped=draft.compressed)


def _origin(context: Context, request: Request, job: Job) -> Origin:
    runtime = context.environment(request.device).facts["runtime"]
    return Origin(
        hqp_version=hqp.__version__,
        versions=job.key["versions"] | {"runtime": runtime},
        verified_in=request.device,
    )
