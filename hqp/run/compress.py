"""From a trained model to an artefact: ``hqp compress``, and what a suite needs of each of its cases."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hqp import documents, onnx_rules
from hqp.errors import HqpError, command
from hqp.records import Artifact, LayerRecord, Policy, PolicyFile, Recipe, digest_of
from hqp.run import certifications, delivery
from hqp.run import exports as exporting
from hqp.run.context import Context
from hqp.run.engine import criteria_digest
from hqp.run.inputs import artifacts, policies
from hqp.run.inputs.request import Request, Resolved, resolve
from hqp.run.inputs.subject import Subject, subject
from hqp.run.job import certifying, data_of, job_of, policy_of, require_engine, samples_of, tell_trained
from hqp.run.sidecar import sidecar_of
from hqp.store import Store, sha256_of

if TYPE_CHECKING:
    from hqp.compress.search.draft import Draft


def artifact(context: Context, asked: Resolved) -> Artifact:
    """The artefact of a request, made where the store does not have it yet."""
    request, found = asked.request, subject(context, asked)
    if asked.recipe.replaced:
        lacks = f"{request.method} on {request.device}: {asked.recipe.replaced}, since the device lacks that"
        context.tell(request.device, lacks, loud=True)
    selection = context.unread(request.dataset, "selection", found.reading)
    context.tell(request.model.name, found.takes.shown(selection))
    data = data_of(context, found)
    key = _key(context, found, data)

    def build(folder: Path) -> None:
        # Importing torch is the first thing that takes seconds.
        with context.progress.track("torch and the trained model", 0):
            require_engine()
            from hqp.compress import pipeline, plan

            job = job_of(context, found, asked.recipe, data)
        # Before the images are looked at: a run that is killed after that has used them, too.
        use = _noted(context, asked.recipe, key)
        with context.progress.whole(plan.expected(job)) as begin:
            draft = pipeline.run(job, begin)
        if draft.certificate:
            draft.certificate = replace(draft.certificate, use=use.number, spent_before=use.before)
        _write(folder, context, found, draft)

    folder = context.store.make("artifacts", key, build)
    made = artifacts.read(folder)
    tell_trained(context, request, made.sidecar.accuracy.fp32)
    context.store.keep(folder / artifacts.MODEL, made.sidecar.file.sha256)
    return made


def _noted(context: Context, recipe: Recipe, key: dict[str, Any]) -> certifications.Place:
    """Which use of the images that certify an artefact is; the first where nothing is certified."""
    if recipe.alpha is None:
        return certifications.Place(1, 0.0)
    return certifications.noted(context.store, key["checkpoint"], key["test"], digest_of(key), recipe.alpha)


def _key(context: Context, found: Subject, data: dict[str, Any]) -> dict[str, Any]:
    """What names the artefact of a request in the store, of which ``data`` names weights, images and engine."""
    request, recipe = found.request, found.asked.recipe
    certified_by = context.split_digest(request.dataset, "test", found.reading, request.test_images)
    return {
        **data,
        "train": context.split_digest(request.dataset, "train", found.reading),
        "test": certified_by if recipe.alpha is not None else None,
        "method": request.method,
        "recipe": asdict(recipe),
        "criteria": criteria_digest(recipe),
        "policy": asdict(policy_of(context, request)),
        "delta_max_pp": request.delta_max_pp,
        "targets": request.targets.asked(),
        "seed": request.seed,
        "device": request.device,
        "environment": context.environment(context.plugins.judge(request.device)).digest,
    }


def _write(folder: Path, context: Context, found: Subject, draft: Draft) -> None:
    """Puts the files of an artefact into a folder."""
    used = [draft.job.calibration, draft.job.selection]
    if draft.certificate:
        used.append(certifying(context, found))
    shutil.copyfile(draft.file, folder / artifacts.MODEL)
    _write_weights(folder / artifacts.WEIGHTS, draft)
    sidecar = sidecar_of(context, found, draft, used, sha256_of(folder / artifacts.WEIGHTS))
    documents.write(folder / artifacts.SIDECAR, sidecar)
    layers = _layers(draft)
    documents.write_bytes(folder / artifacts.LAYERS, documents.list_to_json(layers).encode())
    if draft.final.policy is not None:
        documents.write(folder / artifacts.POLICY, _policy(draft, draft.final.policy, layers))


def _policy(draft: Draft, policy: Policy, became: Sequence[LayerRecord]) -> PolicyFile:
    """The precision of each layer of the file and how much of it is gone, and why."""
    from hqp.compress.quantisation import precision
    from hqp.compress.search.candidate import TRAINED

    graph = onnx_rules.read(draft.candidates.fp32(TRAINED)).graph
    layers = tuple(dict.fromkeys(precision.layers_of(graph).values()))
    chosen = None if draft.ships_dense else draft.precisions
    return policies.of_file(policy, layers, chosen, became if draft.job.recipe.pruning else ())


def _write_weights(file: Path, draft: Draft) -> None:
    """Writes the weights that are shipped as they were before they were quantised."""
    from hqp.compress.exporting import pruned_weights

    candidates, final = draft.candidates, draft.final
    removed = candidates.removed(final)
    pruned_weights.write(file, candidates.module(final), removed, draft.job.example, final.replaced)


def _layers(draft: Draft) -> tuple[LayerRecord, ...]:
    """What became of each layer of the trained network."""
    from hqp.compress.exporting import layer_record

    job, candidates, final = draft.job, draft.candidates, draft.final
    filters_gone = candidates.filters_gone(final)
    fisher = candidates.sensitivities(draft.base).fisher if "sensitivity" in job.needs else None
    kept = candidates.module(final)
    records: tuple[LayerRecord, ...] = layer_record.record(job.model, kept, filters_gone, fisher, final.precision_of)
    return records


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
    selection = samples_of(context, subject(context, asked), "selection")
    indices = np.unique(np.linspace(0, len(selection) - 1, exporting.IMAGES).astype(int)).tolist()
    images = selection.normalised(selection.read(indices, made.sidecar.network.input_size))
    with context.opener(Path(made.path) / artifacts.MODEL, context.plugins.judge(asked.request.device))() as session:
        logits = session.outputs(images)
    return exporting.with_exports(context.store, made, exports, logits, images)


def _require_same(context: Context, asked: Resolved, out: Path, exports: Sequence[str]) -> None:
    """Sees that ``out`` holds what the store has for the request."""
    found = subject(context, asked)
    key = _key(context, found, data_of(context, found))
    right, fix = "a new directory, or --force to replace it", command("--out", f"{out}-2")
    if not context.store.path("artifacts", key).is_dir():
        wrong = f"{out} holds an artefact, and {context.store.root} has none of this request to compare it with"
        raise HqpError(wrong, right, fix)
    if not delivery.is_same(_delivered(context, asked, exports), out):
        raise HqpError(f"{out} holds another artefact", right, fix)
