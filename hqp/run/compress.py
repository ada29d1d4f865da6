"""From a trained model to an artefact: ``hqp compress``, and what a suite needs of each of its cases."""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hqp import catalog, documents
from hqp.errors import HqpError, NotInstalled, command
from hqp.records import (
    Accuracy,
    Artifact,
    Judged,
    LayerRecord,
    Ranking,
    Recipe,
    Samples,
)
from hqp.run import delivery
from hqp.run import exports as exporting
from hqp.run.context import Context
from hqp.run.engine import criteria_digest, engine_digest
from hqp.run.inputs import artifacts, expected
from hqp.run.inputs.request import Request, Resolved, resolve
from hqp.run.inputs.subject import Subject, identity, subject, trained
from hqp.run.sidecar import sidecar_of
from hqp.run.training_recipe import recipe_of
from hqp.store import Store

if TYPE_CHECKING:
    from hqp.compress.job import Job
    from hqp.compress.search.draft import Draft

# The versions that can change an artefact's bytes.
TOOLS = ("torch", "torchvision", "timm", "onnx", "onnxruntime", "numpy")


def artifact(context: Context, asked: Resolved) -> Artifact:
    """The artefact of a request, made where the store does not have it yet."""
    request, found = asked.request, subject(context, asked)
    if asked.recipe.replaced:
        lacks = f"{request.method} on {request.device}: {asked.recipe.replaced}, since the device lacks that"
        context.tell(request.device, lacks, loud=True)
    context.tell(request.model.name, found.takes.shown(context.unread(request.dataset, "selection", found.reading)))
    data = _data(context, found)
    key = _key(context, found, data)

    def build(folder: Path) -> None:
        _require_engine()
        from hqp.compress import pipeline, plan

        job = _job(context, found, asked.recipe, data)
        with context.progress.whole(plan.expected(job)) as begin:
            draft = pipeline.run(job, begin)
        _write(folder, context, found, draft)

    folder = context.store.make("artifacts", key, build)
    made = artifacts.read(folder)
    _told(context, request, made.sidecar.accuracy.fp32)
    context.store.keep(folder / artifacts.MODEL, made.sidecar.file.sha256)
    return made


def _key(context: Context, found: Subject, data: dict[str, Any]) -> dict[str, Any]:
    """What names the artefact of a request in the store, of which ``data`` names weights, images and engine."""
    request, recipe = found.request, found.asked.recipe
    certifying = context.split_digest(request.dataset, "test", found.reading, request.test_images)
    return {
        **data,
        "train": context.split_digest(request.dataset, "train", found.reading),
        "test": certifying if recipe.alpha is not None else None,
        "method": request.method,
        "recipe": asdict(recipe),
        "criteria": criteria_digest(recipe),
        "policy": asdict(context.policy(request.device)),
        "delta_max_pp": request.delta_max_pp,
        "targets": request.targets.asked(),
        "seed": request.seed,
        "device": request.device,
        "environment": context.environment(context.plugins.judge(request.device)).digest,
    }


def _told(context: Context, request: Request, trained: Accuracy) -> None:
    """Shows the trained model's top-1, and refuses another than the user expects."""
    context.tell(request.model.name, expected.shown(trained), loud=True)
    expected.require_expected(trained, request.expect_top1)


def prepared_job(context: Context, request: Request, recipe: Recipe) -> Job:
    """What the engine is given for a request, with another recipe than that of the request's method."""
    asked = resolve(request, context.plugins)
    _require_engine()
    found = subject(context, asked)
    return _job(context, found, recipe, _data(context, found))


def _data(context: Context, found: Subject) -> dict[str, Any]:
    """What names the trained weights, the images and the engine."""
    calibration, selection = (_samples(context, found, split) for split in ("calibration", "selection"))
    return {
        **identity(found),
        "calibration": calibration.digest,
        "selection": selection.digest,
        "engine": engine_digest(),
        "versions": _versions(),
    }


def _require_engine() -> None:
    import hqp.compress

    absent = catalog.missing(hqp.compress)
    if absent:
        raise NotInstalled("compressing a model", absent, "compress")


def _samples(context: Context, found: Subject, split: str) -> Samples:
    return context.samples(found.request.dataset, split, found.size, reading=found.reading)


def _certifying(context: Context, found: Subject) -> Samples:
    """The images of ``test`` that certify."""
    request = found.request
    return context.samples(request.dataset, "test", found.size, reading=found.reading, first=request.test_images)


def _job(context: Context, found: Subject, recipe: Recipe, data: dict[str, Any]) -> Job:
    from hqp.compress.job import Job

    request = found.request
    judge = context.plugins.judge(request.device)
    calibration, selection = (_samples(context, found, split) for split in ("calibration", "selection"))

    def evaluate(file: Path) -> Judged:
        return context.judged(file, judge, selection, found.size)

    def test(file: Path) -> Judged:
        return context.judged(file, judge, _certifying(context, found), found.size)

    def outputs(file: Path, count: int) -> npt.NDArray[np.float32]:
        return context.outputs(file, judge, calibration.first(count), found.size, "distance from FP32")

    rankings = recipe.pruning.rankings if recipe.pruning else ()
    criteria = {ranking: context.plugins.load("criteria", ranking.criterion) for ranking in rankings}
    return Job(
        model=trained(found, len(selection.classes), context.progress.say),
        key=data,
        recipe=recipe,
        policy=context.policy(request.device),
        input_size=found.size,
        calibration=calibration,
        selection=selection,
        train_images=len(context.unread(request.dataset, "train", found.reading)),
        train=lambda: _samples(context, found, "train"),
        training=recipe_of(found.asked.model, request.dataset),
        seed=request.seed,
        delta_max_pp=request.delta_max_pp,
        targets=request.targets,
        scores={ranking: _score(criteria[ranking].score, ranking) for ranking in rankings},
        needs=frozenset(need for ranking in rankings for need in _needs(criteria[ranking], ranking)),
        device=f"{request.device}-{context.environment(judge).digest}",
        evaluate=evaluate,
        test=test,
        outputs=outputs,
        latency_ms=functools.partial(_latency_ms, context, request.device),
        store=context.store,
        track=context.progress.track,
        warn=context.progress.say,
        told=functools.partial(_told, context, request),
    )


def _latency_ms(context: Context, device: str, file: Path) -> float:
    """The latency of a file on a device, which no stand-in can tell.

    Raises:
        HqpError: the device has a stand-in.
    """
    judge = context.plugins.judge(device)
    if judge != device:
        wrong = f"how fast a file is on {device} is asked, and {judge} stands in for it"
        raise HqpError(wrong, "a method that asks for no times, and no target in ms", "hqp bench on the device")
    return context.latency_ms(file, device)


def _needs(criterion: Any, ranking: Ranking) -> tuple[str, ...]:
    """What a ranking must have measured: what its criterion needs, and times where it ranks by them."""
    return (*criterion.needs, "latency") if ("per", "us") in ranking.options else tuple(criterion.needs)


def _score(score: Callable[..., Any], ranking: Ranking) -> Callable[..., Any]:
    return functools.partial(score, **dict(ranking.options))


def _versions() -> dict[str, str]:
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _write(folder: Path, context: Context, found: Subject, draft: Draft) -> None:
    from hqp.compress.channels import groups
    from hqp.compress.exporting import layer_record
    from hqp.compress.search.candidate import TRAINED

    job, candidates = draft.job, draft.candidates
    removed = groups.removed(candidates.groups, draft.final.removal)
    gone = {layer: filters for (layer, role), filters in removed.items() if role == "filter"}
    shutil.copyfile(draft.file, folder / artifacts.MODEL)
    used = [job.calibration, job.selection]
    if draft.certificate:
        used.append(_certifying(context, found))
    documents.write(folder / artifacts.SIDECAR, sidecar_of(context, found, draft, used))
    fisher = candidates.sensitivities(TRAINED).fisher if "sensitivity" in job.needs else None
    kept, precision = candidates.module(draft.final), draft.final.precision_of
    records: tuple[LayerRecord, ...] = layer_record.record(job.model, kept, gone, fisher, precision)
    documents.write_bytes(folder / artifacts.LAYERS, documents.list_to_json(records).encode())


def compress(request: Request, out: Path, *, force: bool = False, exports: Sequence[str] = ()) -> Artifact:
    """The artefact of a request, written to ``out``, which is made whole or not at all; and its exports.

    Where ``out`` holds that very artefact nothing is done; ``force`` puts it in the place of any other.

    Raises:
        HqpError: ``out`` holds another artefact or something else, or nothing can be written there.
    """
    names = exporting.resolve(exports)
    context = Context(Store(Path(".hqp")))
    asked = resolve(request, context.plugins)
    delivery.require_usable(out)
    with context.progress.case(f"{request.model.name}-{request.method}-{request.device}", 1, 1):
        if delivery.is_taken(out) and not force:
            _require_same(context, asked, out, names)
            context.progress.say(f"{out} holds this artefact already; --force writes it anew")
        else:
            delivery.deliver(_delivered(context, asked, names), out, force=force)
    return artifacts.read(out)


def _delivered(context: Context, asked: Resolved, exports: Sequence[str]) -> Path:
    """The folder in the store that holds the artefact of a request and its exports."""
    made = artifact(context, asked)
    if not exports:
        return Path(made.path)
    selection = _samples(context, subject(context, asked), "selection")
    indices = np.unique(np.linspace(0, len(selection) - 1, exporting.IMAGES).astype(int)).tolist()
    images = selection.normalised(selection.read(indices, made.sidecar.network.input_size))
    with context.opener(Path(made.path) / artifacts.MODEL, context.plugins.judge(asked.request.device))() as session:
        logits = session.outputs(images)
    return exporting.with_exports(context.store, made, exports, logits, images)


def _require_same(context: Context, asked: Resolved, out: Path, exports: Sequence[str]) -> None:
    """Sees that ``out`` holds what the store has for the request."""
    found = subject(context, asked)
    key = _key(context, found, _data(context, found))
    right, fix = "a new directory, or --force to replace it", command("--out", f"{out}-2")
    if not context.store.path("artifacts", key).is_dir():
        wrong = f"{out} holds an artefact, and {context.store.root} has none of this request to compare it with"
        raise HqpError(wrong, right, fix)
    if not delivery.is_same(_delivered(context, asked, exports), out):
        raise HqpError(f"{out} holds another artefact", right, fix)
