"""What a sidecar claims of its artefact, held against what the artefact's files and the dataset say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hqp import onnx_rules
from hqp.errors import Damaged, HqpError
from hqp.records import Artifact, Certificate, ModelFile, Sidecar
from hqp.run.context import Context
from hqp.run.inputs import artifacts
from hqp.run.sidecar import model_file
from hqp.stats.paired import drop_interval
from hqp.store import sha256_of

# To which points are compared: what floats differ by is no contradiction.
DECIMALS = 6


def require_true(made: Artifact, fp32: Sidecar | None) -> None:
    """Refuses a sidecar that contradicts its files, or the FP32 artefact of the same weights where that is at hand.

    Raises:
        Damaged: it does; lists all that is told otherwise.
    """
    folder, sidecar = Path(made.path), made.sidecar
    told = [*_of_model(folder / artifacts.MODEL, sidecar), *_of_layers(folder, sidecar)]
    told += [*_of_fp32(sidecar, fp32), *_of_reading(sidecar), *_of_exports(folder, sidecar)]
    if sidecar.certificate:
        told += _of_certificate(sidecar.certificate, sidecar)
    wrong = [f"{name} is {claimed}, not {true}" for name, claimed, true in told if claimed != true]
    if wrong:
        place = folder / artifacts.SIDECAR
        raise Damaged(
            f"{place} contradicts the artefact's files: {'; '.join(wrong)}", "as it was written", artifacts.FIX
        )


# A field's name, what the sidecar says of it, and what is true.
Told = Iterator[tuple[str, Any, Any]]


def _of_model(model: Path, sidecar: Sidecar) -> Told:
    yield from _of_file("file", sidecar.file, model_file(model))

    network = sidecar.network
    graph = onnx_rules.read(model).graph
    input_height = graph.input[0].type.tensor_type.shape.dim[-1].dim_value
    yield "network.input_size", network.input_size, input_height

    # A network may have more outputs than its dataset has classes.
    outputs = graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    yield "network.num_classes", network.num_classes, min(network.num_classes, outputs)


def _of_file(field: str, claimed: ModelFile, true: ModelFile) -> Told:
    for name in ("size_bytes", "parameters", "macs"):
        yield f"{field}.{name}", getattr(claimed, name), getattr(true, name)


def _of_layers(folder: Path, sidecar: Sidecar) -> Told:
    layers = artifacts.layers(folder)
    filters = sidecar.filters
    channels = sum(layer.channels for layer in layers)
    kept = sum(layer.kept_channels for layer in layers)

    # The output layer is no part of θ, and loses nothing.
    outputs = channels - filters.total
    if not any(layer.channels == layer.kept_channels == outputs for layer in layers):
        yield "filters.total", filters.total, f"what {artifacts.LAYERS} says"
    yield "filters.kept", filters.kept, kept - outputs

    # Which layers hold inner filters is not recorded; that more of them are gone than of all cannot be.
    removed = channels - kept
    least_kept = max(filters.inner - removed, 0)
    yield "filters.inner_kept", filters.inner_kept, max(filters.inner_kept, least_kept)


def _of_fp32(sidecar: Sidecar, fp32: Sidecar | None) -> Told:
    if fp32 is not None:
        yield from _of_file("fp32_file", sidecar.fp32_file, fp32.file)


def _of_certificate(certificate: Certificate, sidecar: Sidecar) -> Told:
    yield "certificate.delta_max_pp", certificate.delta_max_pp, sidecar.settings.delta_max_pp
    yield "certificate.certified", certificate.certified, certificate.upper_pp <= sidecar.settings.delta_max_pp
    images = certificate.images
    lost = round(certificate.drop_pp * images / 100)
    yield "certificate.drop_pp", round(certificate.drop_pp, DECIMALS), round(100 * lost / images, DECIMALS)
    # Of the pairings with that drop, the limit is least where no image is both lost here and gained there.
    _, least = drop_interval(max(lost, 0), max(-lost, 0), images, 1 - 2 * certificate.alpha)
    possible = certificate.upper_pp >= 100 * least - 10**-DECIMALS
    yield "certificate.upper_pp", certificate.upper_pp, certificate.upper_pp if possible else 100 * least


def _of_reading(sidecar: Sidecar) -> Told:
    for name in ("mean", "std"):
        resolved = getattr(sidecar.images.reading, name)
        if resolved is not None:
            yield f"images.{name}", getattr(sidecar.images, name), resolved


def _of_exports(folder: Path, sidecar: Sidecar) -> Told:
    for export in sidecar.exports:
        for name, digest in export.files.items():
            file = folder / export.name / name
            # Exports are made to be carried elsewhere: one that is gone contradicts nothing.
            if file.is_file():
                yield f"exports.{export.name}.{name}", digest, sha256_of(file)


def require_same_images(context: Context, made: Artifact) -> None:
    """Refuses an artefact whose dataset has other classes here, or that other images certified than ``test`` holds.

    Raises:
        HqpError: it does.
    """
    sidecar, network, images = made.sidecar, made.sidecar.network, made.sidecar.images
    test = context.samples(images.dataset, "test", network.input_size, reading=images.reading)
    if len(test.classes) != network.num_classes:
        classes = f"{network.num_classes} classes, and {images.dataset} has {len(test.classes)}"
        raise HqpError(f"{made.path} was made for {classes}", "the dataset that it was made for", "export HQP_DATA=DIR")
    named = images.split_digests.get("test")
    if sidecar.certificate and not any(named == digest for digest in _certifying(context, sidecar)):
        raise HqpError(
            f"{made.path} was certified by other images than 'test' of {images.dataset} holds here",
            "the images that certified it, or an artefact that these certify",
            "export HQP_DATA=DIR",
        )


def _certifying(context: Context, sidecar: Sidecar) -> Iterator[str]:
    """What the images can be named by that certified; of those taken, some may not have been readable."""
    assert sidecar.certificate is not None
    counted, size = sidecar.certificate.images, sidecar.network.input_size
    dataset, reading = sidecar.images.dataset, sidecar.images.reading
    yield context.split_digest(dataset, "test", reading, counted)
    for skipped in range(1, len(sidecar.images.skipped) + 1):
        taken = context.samples(dataset, "test", size, reading=reading, first=counted + skipped)
        yield taken.digest
