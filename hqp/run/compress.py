"""From a trained model to an artefact: ``hqp compress``, and what a suite needs of each of its cases."""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import hqp
from hqp import catalog, documents
from hqp.errors import HqpError, NotInstalled
from hqp.records import SCHEMA_VERSION, Accuracy, Artifact, LayerRecord, Ranking, Recipe, Sidecar, digest_of
from hqp.run import artifacts, fixtures
from hqp.run.context import Context, device_of
from hqp.store import Store, sha256_of

if TYPE_CHECKING:
    from torch import nn

    from hqp.compress.pipeline import Draft, Job

# The versions that can change an artefact's bytes.
TOOLS = ("torch", "torchvision", "torch-pruning", "onnx", "onnxruntime", "numpy")


@dataclass(frozen=True)
class Request:
    """What is compressed, how, and for which device; ``weights`` is ``None`` for the embedded checkpoint."""

    model: str
    dataset: str
    method: str
    device: str
    delta_max_pp: float
    seed: int = 0
    input_size: int | None = None
    weights: Path | None = None

    @property
    def size(self) -> int:
        """The input's height and width in pixels: what was asked for, or the dataset's own."""
        return self.input_size or int(catalog.load("datasets", self.dataset).native_size)

    @property
    def checkpoint(self) -> Path:
        """The weight file."""
        return self.weights or fixtures.checkpoint(self.model, self.dataset)


def resolve(request: Request) -> Recipe:
    """The recipe of a request whose every name and number is right.

    Raises:
        HqpError: a name is unknown, a package is missing, a number is out of range.
    """
    catalog.find("models", request.model)
    catalog.load("datasets", request.dataset)
    recipe: Recipe = catalog.load("methods", request.method).recipe
    for ranking in recipe.pruning.rankings if recipe.pruning else ():
        catalog.load("criteria", ranking.criterion)
    catalog.load("runtimes", device_of(request.device).runtime)
    if not 0 < request.delta_max_pp <= 100:
        raise HqpError(f"Δmax is {request.delta_max_pp} points", "above 0 and at most 100", "--delta-max 1.5")
    if request.size < 8:
        raise HqpError(f"the input size is {request.size} pixels", "8 or more", "--input-size 96")
    if not request.checkpoint.is_file():
        known = "hqp train " + request.model + " --dataset " + request.dataset
        raise HqpError(f"there are no weights for {request.model} at {request.checkpoint}", fix=known)
    return recipe


def artifact(context: Context, request: Request) -> Artifact:
    """The artefact of a request, made where the store does not have it yet."""
    recipe = resolve(request)
    calibration = context.samples(request.dataset, "calibration", request.size)
    selection = context.samples(request.dataset, "selection", request.size)
    data = {
        "checkpoint": sha256_of(request.checkpoint),
        "model": request.model,
        "calibration": calibration.digest,
        "selection": selection.digest,
        "input_size": request.size,
        "engine": _engine_digest(),
        "versions": _versions(),
    }
    key = {
        **data,
        "method": request.method,
        "recipe": asdict(recipe),
        "policy": asdict(device_of(request.device).policy),
        "delta_max_pp": request.delta_max_pp,
        "seed": request.seed,
        "device": request.device,
        "environment": context.environment(request.device).digest,
    }

    def build(folder: Path) -> None:
        _require_engine()
        from hqp.compress import pipeline

        job = _job(context, request, recipe, data)
        _write(folder, context, request, job, pipeline.run(job))

    folder = context.store.make("artifacts", key, build)
    made = artifacts.read(folder)
    context.store.keep(folder / artifacts.MODEL, made.sidecar.model_sha256)
    return made


def _require_engine() -> None:
    import hqp.compress

    absent = catalog.missing(hqp.compress)
    if absent:
        raise NotInstalled("compressing a model", absent, "compress")


def _job(context: Context, request: Request, recipe: Recipe, data: dict[str, Any]) -> Job:
    from hqp.compress.pipeline import Job

    selection = context.samples(request.dataset, "selection", request.size)

    def evaluate(file: Path) -> Accuracy:
        return context.accuracy(file, request.device, selection, request.size)

    rankings = recipe.pruning.rankings if recipe.pruning else ()
    criteria = {ranking: catalog.load("criteria", ranking.criterion) for ranking in rankings}
    return Job(
        model=trained(request, len(selection.classes)),
        key=data,
        recipe=recipe,
        policy=device_of(request.device).policy,
        input_size=request.size,
        calibration=context.samples(request.dataset, "calibration", request.size),
        selection=selection,
        delta_max_pp=request.delta_max_pp,
        scores={ranking: _score(criteria[ranking].score, ranking) for ranking in rankings},
        needs_fisher=any("fisher" in criterion.needs for criterion in criteria.values()),
        evaluate=evaluate,
        store=context.store,
        track=context.progress.track,
    )


def _score(score: Callable[..., Any], ranking: Ranking) -> Callable[..., Any]:
    return functools.partial(score, **dict(ranking.options))


def trained(request: Request, num_classes: int) -> nn.Module:
    """The model of a request with its weights, in evaluation mode."""
    from hqp.compress import weights

    model: nn.Module = catalog.load("models", request.model).build(num_classes)
    weights.fill(model, weights.read(request.checkpoint), str(request.checkpoint))
    return model


def _versions() -> dict[str, str]:
    found = {}
    for name in TOOLS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


@functools.cache
def _engine_digest() -> str:
    """A digest of the code that makes artefacts, so that what an older engine made is not taken for this one's."""
    package = Path(hqp.__file__).parent
    folders = ("compress", "criteria", "records")
    files = sorted([package / "onnx_rules.py", *(file for name in folders for file in (package / name).glob("*.py"))])
    return digest_of([[file.parent.name, file.name, sha256_of(file)] for file in files])


def _write(folder: Path, context: Context, request: Request, job: Job, draft: Draft) -> None:
    from hqp.compress import groups, layers

    removal = draft.removals[draft.shipped]
    gone = layers.removed_filters(draft.groups, removal)
    kept = groups.remove(job.model, job.example, removal, draft.groups)
    shutil.copyfile(draft.file, folder / artifacts.MODEL)
    documents.write(folder / artifacts.SIDECAR, _sidecar(context, request, job, draft, gone))
    records: tuple[LayerRecord, ...] = layers.record(job.model, kept, gone, draft.fisher)
    documents.write_bytes(folder / artifacts.LAYERS, documents.list_to_json(records).encode())


def _sidecar(context: Context, request: Request, job: Job, draft: Draft, gone: dict[str, set[int]]) -> Sidecar:
    from hqp.compress import count, groups

    assert draft.baseline is not None
    filters = sum(groups.filters(job.model).values())
    removed = sum(len(channels) for channels in gone.values())
    model_bytes, fp32_bytes = draft.file.stat().st_size, draft.dense_file.stat().st_size
    return Sidecar(
        schema_version=SCHEMA_VERSION,
        hqp_version=hqp.__version__,
        model=request.model,
        dataset=request.dataset,
        method=request.method,
        recipe=job.recipe,
        seed=request.seed,
        input_size=job.input_size,
        num_classes=len(job.selection.classes),
        mean=job.selection.mean,
        std=job.selection.std,
        delta_max_pp=job.delta_max_pp,
        checkpoint_sha256=job.key["checkpoint"],
        model_sha256=sha256_of(draft.file),
        model_bytes=model_bytes,
        fp32_bytes=fp32_bytes,
        compression_ratio=fp32_bytes / model_bytes,
        parameters=count.parameters(draft.file),
        fp32_parameters=count.parameters(draft.dense_file),
        macs=count.macs(draft.file),
        fp32_macs=count.macs(draft.dense_file),
        filters=filters,
        kept_filters=filters - removed,
        sparsity=removed / filters,
        ranking=str(draft.ranking) if draft.ranking else None,
        given_back=draft.accepted - draft.shipped,
        policy=job.policy if job.recipe.quantization else None,
        baseline=draft.baseline,
        pruned=draft.pruned,
        compressed=draft.compressed,
        verified_in=request.device,
        versions=job.key["versions"] | {"runtime": context.environment(request.device).facts["runtime"]},
        costs=tuple(draft.costs.values()),
    )


def compress(
    model: str,
    dataset: str,
    method: str,
    device: str,
    *,
    delta_max_pp: float,
    out: Path,
    weights: Path | None = None,
    seed: int = 0,
    input_size: int | None = None,
) -> Artifact:
    """The artefact of one model, written to ``out``, which is made whole or not at all."""
    request = Request(model, dataset, method, device, delta_max_pp, seed, input_size, weights)
    resolve(request)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise HqpError(f"{out} exists and is not empty", "a new directory", f"--out {out}-2")
    context = Context(Store(Path(".hqp")))
    with context.progress.case(f"{model}-{method}-{device}", 1, 1):
        made = artifact(context, request)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
        whole = Path(shutil.copytree(made.path, Path(folder) / out.name))
        os.replace(whole, out)
    return artifacts.read(out)
