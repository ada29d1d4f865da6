"""The trained model that is compressed, and how images become its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hqp import catalog, documents
from hqp.errors import HqpError, command
from hqp.records import DEFAULT_READING, Digest, Reading
from hqp.run.context import Context, data_root
from hqp.run.inputs.network_input import NetworkInput, Source, settled
from hqp.run.inputs.request import Request, Resolved
from hqp.store import sha256_of

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True)
class Subject:
    """A trained model that is to be compressed as ``asked``, and how images become its input."""

    asked: Resolved
    checkpoint: Path
    takes: NetworkInput

    @property
    def size(self) -> int:
        """The height and width of the input in pixels."""
        return self.takes.size

    @property
    def reading(self) -> Reading:
        return self.takes.reading

    @property
    def request(self) -> Request:
        """What the user asked for."""
        return self.asked.request


@dataclass(frozen=True)
class Origin:
    """What is read of the card that ``hqp train`` wrote beside a checkpoint."""

    dataset: str
    input_size: int
    sha256: Digest
    split_digests: dict[str, Digest]


def subject(context: Context, asked: Resolved) -> Subject:
    """The model of a request, its weights downloaded where they are the library's."""
    request, plugin = asked.request, asked.model
    held_out = False
    if request.model.pretrained:
        checkpoint, trained_for = _pretrained(context, request.model.source, plugin)
        weights = Source("the weights", trained_for.input_size, trained_for.reading)
    else:
        checkpoint = request.weights
        card = _card(checkpoint)
        weights = Source(f"the card of {checkpoint.name}", card.input_size if card else None)
        held_out = card is not None and card.dataset == request.dataset
        if card is not None and held_out:
            _require_its_images(asked.dataset, checkpoint, card)
    own: Reading | None = getattr(asked.dataset, "own", None)
    others = (
        weights,
        Source("the model", plugin.input_size),
        Source(request.dataset, asked.dataset.native_size, own or DEFAULT_READING),
    )
    first = Source("asked for", request.input_size, request.reading)
    takes = settled(first, others, draws=own is None)
    return Subject(asked, checkpoint, replace(takes, reading=replace(takes.reading, held_out=held_out)))


def _card(checkpoint: Path) -> Origin | None:
    """The card that ``hqp train`` wrote beside a checkpoint, where it is of that file."""
    place = checkpoint.with_suffix(".json")
    if not place.is_file():
        return None
    aside = command("mv", place, f"{place}.aside")
    card = documents.read(place, Origin, fix=f"restore it or, where `hqp train` did not write it, {aside}")
    return card if card.sha256 == sha256_of(checkpoint) else None


def _require_its_images(dataset: Any, checkpoint: Path, card: Origin) -> None:
    """Sees that ``train`` of the card's ``dataset`` holds what the checkpoint was trained on.

    Raises:
        HqpError: it holds other images now, so that the checkpoint may have seen those that are to judge it.
    """
    train = dataset.load("train", data_root(), Reading(held_out=True))
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


def identity(found: Subject) -> dict[str, Any]:
    """What names the trained model in the store, beside the images and the engine."""
    model = found.request.model
    return {
        "checkpoint": sha256_of(found.checkpoint),
        "entry": model.entry,
        "model": model.source,
        "num_classes": model.num_classes,
        "code": getattr(found.asked.model, "digest", ""),
        "input_size": found.size,
        "reading": asdict(found.reading),
    }


def trained(found: Subject, classes: int, say: Callable[[str], None] = lambda line: None) -> nn.Module:
    """The model with its weights, in evaluation mode, seen to give one row of logits for an image.

    It has as many outputs as asked for, else as its weights have, else one for each of the dataset's ``classes``.
    ``say`` is told where it is changed, not judged as its author may expect, or has more outputs than classes.

    Raises:
        HqpError: the weights do not fit, or the model is no classifier of that many classes at that input size.
    """
    from hqp.compress.network import contract, plain, usage, weight_files, weights

    asked, build = found.request.model, found.asked.model.build
    state = weight_files.read(found.checkpoint, asked.entry)
    model: nn.Module = contract.module(build, asked.num_classes or classes, found.size, say)
    theirs = weights.outputs(model, state)
    if asked.num_classes is None and theirs is not None:
        model = contract.module(build, theirs, found.size)
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
