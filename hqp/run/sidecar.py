"""The sidecar of an artefact, put together from what was asked for and what the engine made of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import hqp
from hqp import catalog, onnx_speed
from hqp.records import (
    Accuracies,
    Choices,
    Digest,
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
    from hqp.compress.job import Job
    from hqp.compress.search.draft import Draft


def sidecar_of(
    context: Context, found: Subject, draft: Draft, used: Sequence[Samples], weights_sha256: Digest
) -> Sidecar:
    """What ``hqp.json`` says of a finished draft; ``used`` are the splits whose images took part."""
    from hqp.compress.search.candidate import TRAINED

    request, job, candidates = found.request, draft.job, draft.candidates
    return Sidecar(
        schema_version=Sidecar.SCHEMA,
        network=_network(request, job),
        images=_images(request, found, used),
        settings=_settings(request, job),
        file=model_file(draft.file),
        fp32_file=model_file(candidates.fp32(TRAINED)),
        weights_sha256=weights_sha256,
        filters=_filters(draft),
        choices=_choices(draft),
        accuracy=_accuracy(draft),
        certificate=draft.certificate,
        notes=(*draft.notes, *_standing_in(context, request), *_fallen_back(draft), *_slow(context, request, draft)),
        spent=Spent(steps=candidates.ledger.costs, qat=draft.qat),
        origin=_origin(context, request, draft),
        tried=tuple(draft.tried),
        budget=draft.budget,
    )


def _standing_in(context: Context, request: Request) -> tuple[str, ...]:
    """Tells that another runtime than the device's verified the file, where it is so."""
    engine = _stood_in_for(context, request)
    if not engine:
        return ()
    runtime = context.plugins.device(context.plugins.judge(request.device)).runtime
    return (f"verified in {runtime}, standing in for {engine}; the bench on {request.device} judges again",)


def _slow(context: Context, request: Request, draft: Draft) -> tuple[str, ...]:
    """What the device's runtime is known to be slow with in the file."""
    return onnx_speed.slow(draft.file, context.plugins.device(request.device).runtime)


def _stood_in_for(context: Context, request: Request) -> str:
    """The engine that another one stood in for, empty where none did."""
    declared = context.plugins.device(request.device)
    if not declared.stand_in:
        return ""
    # What the engine's own runtime requires need not be installed here.
    runtime = catalog.find("runtimes", declared.runtime)
    engine: str = getattr(runtime, "engine", declared.runtime)
    return engine


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


def _filters(draft: Draft) -> Filters:
    from hqp.compress.channels import groups

    candidates, final, total = draft.candidates, draft.final, draft.job.filters
    removed = candidates.filters_removed(final)
    inner_groups = groups.inner(candidates.channels().found)
    inner = groups.filters_of(inner_groups)
    inner_removed = groups.filters_among(inner_groups, candidates.filters_gone(final))
    return Filters(total=total, kept=total - removed, inner=inner, inner_kept=inner - inner_removed)


def _choices(draft: Draft) -> Choices:
    candidates, final = draft.candidates, draft.final
    return Choices(
        ranking=str(draft.ranking) if draft.ranking else None,
        accepted_steps=draft.accepted,
        shipped_steps=draft.shipped,
        recovered=candidates.recovered(final),
        calibrated=draft.calibrated,
        policy=final.policy,
        compared=draft.compared,
        precisions=None if draft.ships_dense else draft.precisions,
        simplified=draft.simplified,
        dense=draft.dense,
    )


def _accuracy(draft: Draft) -> Accuracies:
    candidates = draft.candidates
    return Accuracies(
        fp32=candidates.trained_on_selection, pruned=draft.pruned, shipped=candidates.on_selection(draft.final)
    )


def _fallen_back(draft: Draft) -> tuple[str, ...]:
    """Tells that the first of PyTorch's exporters could not write the network, where it is so."""
    from hqp.compress.exporting import routes

    exporter = _exporter(draft)
    first = routes.ROUTES[0].NAME
    return () if exporter == first else (f"exported by PyTorch's {exporter} exporter, since its {first} one could not",)


def _exporter(draft: Draft) -> str:
    from hqp.compress.exporting import routes

    return routes.name_of(draft.candidates.fp32(draft.final))


def _origin(context: Context, request: Request, draft: Draft) -> Origin:
    judge = context.plugins.judge(request.device)
    runtime = context.environment(judge).facts["runtime"]
    return Origin(
        hqp_version=hqp.__version__,
        versions=draft.job.key["versions"] | {"runtime": runtime},
        verified_in=judge,
        standing_in_for=_stood_in_for(context, request),
        exporter=_exporter(draft),
    )
