"""What is compressed and on which images it is judged, from what a user named."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqp import catalog, documents
from hqp.errors import HqpError, command
from hqp.records import DEFAULT_READING, LARGEST_INPUT, SMALLEST_INPUT, Digest, Reading, Recipe, Targets
from hqp.run import fixtures
from hqp.run.context import Context, data_root, device_of
from hqp.store import sha256_of
from hqp.suite import Model

if TYPE_CHECKING:
    from torch import nn


NO_TARGETS = Targets()


@dataclass(frozen=True)
class Request:
    """What is compressed, how, and for which device; what ``reading`` leaves open, the model and the dataset decide.

    ``keep`` are name patterns of layers that lose no filter, beside those of the method's recipe. ``targets`` are where
    pruning stops short of the bound. The first ``test_images`` of ``test`` certify, all of them where it is ``None``.
    """

    model: Model
    dataset: str
    method: str
    device: str
    delta_max_pp: float
    seed: int = 0
    input_size: int | None = None
    reading: Reading = DEFAULT_READING
    keep: tuple[str, ...] = ()
    targets: Targets = NO_TARGETS
    test_images: int | None = None

    @property
    def trained_by_us(self) -> Path:
        """Where the weights are that ``hqp train`` wrote for this model and dataset."""
        return fixtures.checkpoint(self.model.source, self.dataset)


@dataclass(frozen=True)
class Subject:
    """A trained model and how images become its input; ``size`` is their height and width in pixels."""

    plugin: Any
    checkpoint: Path
    size: int
    reading: Reading


@dataclass(frozen=True)
class Origin:
    """What is read of the card beside a checkpoint that ``hqp train`` wrote."""

    dataset: str
    input_size: int
    sha256: Digest
    split_digests: dict[str, Digest]


def resolve(request: Request) -> Recipe:
    """The recipe of a request whose every name and number is right; nothing is downloaded, no image is read.

    Raises:
        HqpError: a name is unknown, a package or a file is missing, a number is out of range.
    """
    model = request.model
    catalog.load("models", model.source)
    catalog.load("datasets", request.dataset)
    recipe = _recipe(request)
    for ranking in recipe.pruning.rankings if recipe.pruning else ():
        catalog.load("criteria", ranking.criterion)
    catalog.load("runtimes", device_of(request.device).runtime)
    if not 0 < request.delta_max_pp <= 100:
        raise HqpError(f"Δmax is {request.delta_max_pp} points", "above 0 and at most 100", "--delta-max 1.5")
    if request.input_size is not None and not SMALLEST_INPUT <= request.input_size <= LARGEST_INPUT:
        right = f"from {SMALLEST_INPUT} to {LARGEST_INPUT}"
        raise HqpError(f"the input size is {request.input_size} pixels", right, "--input-size 96")
    file = model.file or request.trained_by_us
    if not model.pretrained and not file.is_file():
        train = command("hqp", "train", model.source, "--dataset", request.dataset)
        raise HqpError(f"there are no weights for {model.name} at {file}", "--weights FILE, or --pretrained", train)
    return recipe


def _recipe(request: Request) -> Recipe:
    recipe: Recipe = catalog.load("methods", request.method).recipe
    targets = request.targets.asked()
    if recipe.pruning is None and (request.keep or targets):
        asked = "that --keep could keep" if request.keep else "to reach a target"
        raise HqpError(f"{request.method} removes no filters {asked}", "a method that prunes", "--method hqp")
    for name, value in targets.items():
        most, right = (1.0, "above 0 and below 1") if name == "sparsity" else (math.inf, "a finite number above 0")
        if not 0 < value < most:
            raise HqpError(f"--target-{name.replace('_', '-')} is {value:g}", right)
    if not request.keep or recipe.pruning is None:
        return recipe
    return replace(recipe, pruning=replace(recipe.pruning, keep=recipe.pruning.keep + request.keep))


def subject(context: Context, request: Request) -> Subject:
    """The model of a request, its weights downloaded where they are the library's."""
    plugin = catalog.load("models", request.model.source)
    dataset = catalog.load("datasets", request.dataset)
    size, reading = None, request.reading
    if request.model.pretrained:
        checkpoint, size, theirs = _pretrained(context, request.model.source, plugin)
        reading = _over(reading, theirs)
    else:
        checkpoint = request.model.file or request.trained_by_us
        origin = _origin(checkpoint, request.dataset)
        if origin is not None:
            size, reading = origin.input_size, replace(reading, held_out=True)
    size = request.input_size or size or dataset.native_size or plugin.input_size
    return Subject(plugin, checkpoint, size, reading)


def _over(asked: Reading, theirs: Reading) -> Reading:
    """What the user asked for, and where he asked for nothing what the weights were trained with."""
    return replace(
        theirs,
        mean=asked.mean or theirs.mean,
        std=asked.std or theirs.std,
        skip_unreadable=asked.skip_unreadable,
    )


def _origin(checkpoint: Path, dataset: str) -> Origin | None:
    """The card of a checkpoint that ``hqp train`` made on this dataset.

    Raises:
        HqpError: it was trained on other images than the dataset's ``train`` now holds, so that it may have seen those
            that are to judge it.
    """
    card = checkpoint.with_suffix(".json")
    if not card.is_file():
        return None
    aside = command("mv", card, f"{card}.aside")
    origin = documents.read(card, Origin, fix=f"restore it or, where `hqp train` did not write it, {aside}")
    if origin.dataset != dataset or origin.sha256 != sha256_of(checkpoint):
        return None
    train = catalog.load("datasets", dataset).load("train", data_root(), Reading(held_out=True))
    if origin.split_digests.get("train") != train.digest:
        raise HqpError(
            f"{checkpoint} was trained on other images than 'train' of {dataset} holds now",
            "the images it was trained on: of others it may have seen those that judge it",
            "train anew, or remove its card if it never saw these",
        )
    return origin


def _pretrained(context: Context, name: str, plugin: Any) -> tuple[Path, int, Reading]:
    """The library's weights as a file of the store, and the input they were trained for."""

    def build(folder: Path) -> None:
        from hqp.compress import weights

        offer = getattr(plugin, "pretrained", None)
        named = getattr(plugin, "weights", None)
        if offer is None and named is None:
            raise HqpError(f"{name} comes without pretrained weights", "a file", "--weights FILE")
        found = offer() if offer else catalog.find("models", "torchvision").pretrained(named)
        weights.write(folder / "weights.safetensors", found.state)
        documents.write(folder / "input.json", Input(found.input_size, found.reading))

    with context.progress.track(f"pretrained weights of {name}", 0):
        place = context.store.make("pretrained", {"model": name, "form": documents.form(Input)}, build)
    known = context.store.read(place / "input.json", Input)
    return place / "weights.safetensors", known.input_size, known.reading


@dataclass(frozen=True)
class Input:
    """What pretrained weights take."""

    input_size: int
    reading: Reading


def identity(request: Request, found: Subject) -> dict[str, Any]:
    """What names the trained model in the store, beside the images and the engine."""
    return {
        "checkpoint": sha256_of(found.checkpoint),
        "entry": request.model.entry,
        "model": request.model.source,
        "num_classes": request.model.num_classes,
        "code": getattr(found.plugin, "digest", ""),
        "input_size": found.size,
        "reading": asdict(found.reading),
    }


def trained(
    request: Request, found: Subject, classes: int, say: Callable[[str], None] = lambda line: None
) -> nn.Module:
    """The model with its weights, in evaluation mode, seen to give one row of logits for an image.

    It has as many outputs as asked for, else as its weights have, else one for each of the dataset's ``classes``.
    ``say`` is told where it is changed, or not judged as its author may expect.

    Raises:
        HqpError: the weights do not fit, or the model is no classifier of that many classes at that input size.
    """
    from hqp.compress import contract, groups, plain, weights

    state = weights.read(found.checkpoint, request.model.entry)
    model: nn.Module = contract.module(found.plugin.build, request.model.num_classes or classes, found.size, say)
    head = weights.named_as(model, state).get(f"{groups.output_layer(model)}.weight")
    if request.model.num_classes is None and head is not None and head.shape[0] != classes:
        model = contract.module(found.plugin.build, head.shape[0], found.size)
    weights.fill(model, state, str(found.checkpoint))
    contract.require_classifier(model, found.size, classes, say)
    return plain.plain(model)
