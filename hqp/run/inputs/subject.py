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
from hqp.run.context import Context, data_root, device_of, runtime_of
from hqp.run.inputs import checkpoints
from hqp.run.inputs.network_input import NetworkInput, Source, settled
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
    ``expect_top1`` is what the trained model's top-1 must be about, in percent.
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
    expect_top1: float | None = None

    @property
    def trained_by_us(self) -> Path:
        """Where the weights are that ``hqp train`` wrote for this model and dataset."""
        return checkpoints.checkpoint(self.model.source, self.dataset)


@dataclass(frozen=True)
class Subject:
    """A trained model, and how images become its input."""

    plugin: Any
    checkpoint: Path
    takes: NetworkInput

    @property
    def size(self) -> int:
        """The height and width of the input in pixels."""
        return self.takes.size

    @property
    def reading(self) -> Reading:
        return self.takes.reading


@dataclass(frozen=True)
class Origin:
    """What is read of the card that ``hqp train`` wrote beside a checkpoint."""

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
    for name in (model.source, model.name, request.dataset):
        _require_text(name)
    catalog.load("models", model.source)
    catalog.load("datasets", request.dataset)
    recipe = _recipe(request)
    for ranking in recipe.pruning.rankings if recipe.pruning else ():
        catalog.load("criteria", ranking.criterion)
    runtime_of(device_of(request.device))
    if not 0 < request.delta_max_pp <= 100:
        raise HqpError(f"Δmax is {request.delta_max_pp} points", "above 0 and at most 100", "--delta-max 1.5")
    if request.input_size is not None and not SMALLEST_INPUT <= request.input_size <= LARGEST_INPUT:
        right = f"from {SMALLEST_INPUT} to {LARGEST_INPUT}"
        raise HqpError(f"the input size is {request.input_size} pixels", right, "--input-size 96")
    if request.expect_top1 is not None and not 1 <= request.expect_top1 <= 100:
        raise HqpError(f"the top-1 that is expected is {request.expect_top1:g}", "1 to 100 percent", "--expect-top1 81")
    file = model.file or request.trained_by_us
    if not model.pretrained and not file.is_file():
        train = command("hqp", "train", model.source, "--dataset", request.dataset)
        raise HqpError(f"there are no weights for {model.name} at {file}", "--weights FILE, or --pretrained", train)
    return recipe


def _require_text(name: str) -> None:
    """Refuses a name that no document can hold, such as that of a folder whose bytes are no UTF-8."""
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    if shown != name:
        raise HqpError(f"'{shown}' is no UTF-8", "a name in UTF-8: it stands in the artefact's documents")


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
    model, dataset = request.model, catalog.load("datasets", request.dataset)
    plugin = catalog.load("models", model.source)
    held_out = False
    if model.pretrained:
        checkpoint, trained_for = _pretrained(context, model.source, plugin)
        weights = Source("the weights", trained_for.input_size, trained_for.reading)
    else:
        checkpoint = model.file or request.trained_by_us
        card = _card(checkpoint)
        weights = Source(f"the card of {checkpoint.name}", card.input_size if card else None)
        held_out = card is not None and card.dataset == request.dataset
        if card is not None and held_out:
            _require_its_images(checkpoint, card)
    own: Reading | None = getattr(dataset, "own", None)
    others = (
        weights,
        Source("the model", plugin.input_size),
        Source(request.dataset, dataset.native_size, own or DEFAULT_READING),
    )
    asked = Source("asked for", request.input_size, request.reading)
    takes = settled(asked, others, draws=own is None)
    return Subject(plugin, checkpoint, replace(takes, reading=replace(takes.reading, held_out=held_out)))


def _card(checkpoint: Path) -> Origin | None:
    """The card that ``hqp train`` wrote beside a checkpoint, where it is of that file."""
    place = checkpoint.with_suffix(".json")
    if not place.is_file():
        return None
    aside = command("mv", place, f"{place}.aside")
    card = documents.read(place, Origin, fix=f"restore it or, where `hqp train` did not write it, {aside}")
    return card if card.sha256 == sha256_of(checkpoint) else None


def _require_its_images(checkpoint: Path, card: Origin) -> None:
    """Sees that ``train`` of the card's dataset holds what the checkpoint was trained on.

    Raises:
        HqpError: it holds other images now, so that the checkpoint may have seen those that are to judge it.
    """
    train = catalog.load("datasets", card.dataset).load("train", data_root(), Reading(held_out=True))
    if card.split_digests.get("train") != train.digest:
        raise HqpError(
            f"{checkpoint} was trained on other images than 'train' of {card.dataset} holds now, or read otherwise",
            "the images it was trained on: of others it may have seen those that judge it",
            "train anew, or remove its card if it never saw these",
        )


def _pretrained(context: Context, name: str, plugin: Any) -> tuple[Path, Input]:
    """The library's weights as a file of the store, and the input they were trained for."""

    def build(folder: Path) -> None:
        from hqp.compress.network import weights

        offer = getattr(plugin, "pretrained", None)
        named = getattr(plugin, "weights", None)
        if offer is None and named is None:
            raise HqpError(f"{name} comes without pretrained weights", "a file", "--weights FILE")
        found = offer() if offer else catalog.find("models", "torchvision").pretrained(named)
        weights.write(folder / "weights.safetensors", found.state)
        documents.write(folder / "input.json", Input(found.input_size, found.reading))

    with context.progress.track(f"pretrained weights of {name}", 0):
        place = context.store.make("pretrained", {"model": name, "form": documents.form(Input)}, build)
    return place / "weights.safetensors", context.store.read(place / "input.json", Input)


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
    ``say`` is told where it is changed, not judged as its author may expect, or has more outputs than classes.

    Raises:
        HqpError: the weights do not fit, or the model is no classifier of that many classes at that input size.
    """
    from hqp.compress.network import contract, plain, usage, weight_files, weights

    state = weight_files.read(found.checkpoint, request.model.entry)
    model: nn.Module = contract.module(found.plugin.build, request.model.num_classes or classes, found.size, say)
    theirs = weights.outputs(model, state)
    if request.model.num_classes is None and theirs is not None:
        model = contract.module(found.plugin.build, theirs, found.size)
    weights.fill(model, state, str(found.checkpoint))
    outputs = contract.require_classifier(model, found.size, classes, say)
    if outputs > classes:
        first = f"the first {classes} outputs are taken for them, in the order of the classes' names"
        say(f"warning: the model has {outputs} outputs and the dataset {classes} classes; {first}")
    model = plain.plain(model)
    left_out = usage.leave_out_unused(model, found.size)
    if left_out:
        say(f"left out, since the forward pass never reaches it: {', '.join(left_out)}")
    return model
