"""What a sidecar claims of its artefact, held against what the artefact's files and the dataset say."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hqp import documents, onnx_rules
from hqp.errors import Damaged, HqpError
from hqp.records import Artifact, Certificate, LayerRecord, Sidecar
from hqp.run.context import Context, split_digest
from hqp.run.inputs import artifacts
from hqp.stats.paired import drop_interval

# To which points are compared: what floats differ by is no contradiction.
DECIMALS = 6


def require_true(made: Artifact, fp32: Sidecar | None) -> None:
    """Refuses a sidecar that contradicts its files, or the FP32 artefact of the same weights where that is at hand.

    Raises:
        Damaged: it does; lists all that is told otherwise.
    """
    folder, sidecar = Path(made.path), made.sidecar
    told = [*_of_model(folder / artifacts.MODEL, sidecar), *_of_layers(folder / artifacts.LAYERS, sidecar)]
    told += [*_of_fp32(sidecar, fp32), *_of_reading(sidecar)]
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
    from hqp.compress.exporting import count

    size = model.stat().st_size
    yield "model_bytes", sidecar.model_bytes, size
    yield "compression_ratio", sidecar.compression_ratio, sidecar.fp32_bytes / size
    yield "parameters", sidecar.parameters, count.parameters(model)
    yield "macs", sidecar.macs, count.macs(model)
    graph = onnx_rules.read(model).graph
    height, outputs = (value.type.tensor_type.shape.dim[-1].dim_value for value in (graph.input[0], graph.output[0]))
    yield "input_size", sidecar.input_size, height
    # A network may have more outputs than its dataset has classes.
    yield "num_classes", sidecar.num_classes, min(sidecar.num_classes, outputs)


def _of_layers(file: Path, sidecar: Sidecar) -> Told:
    layers = documents.read(file, tuple[LayerRecord, ...], artifacts.FIX)
    channels, kept = sum(one.channels for one in layers), sum(one.kept_channels for one in layers)
    # The output layer is no part of θ, and loses nothing.
    outputs = channels - sidecar.filters
    if not any(one.channels == one.kept_channels == outputs for one in layers):
        yield "filters", sidecar.filters, f"what {file.name} says"
    yield "kept_filters", sidecar.kept_filters, kept - outputs
    removed = channels - kept
    yield "sparsity", sidecar.sparsity, removed / sidecar.filters
    if sidecar.inner_sparsity is not None:
        most = min(removed, sidecar.inner_filters) / sidecar.inner_filters
        yield "inner_sparsity", sidecar.inner_sparsity, min(sidecar.inner_sparsity, most)


def _of_fp32(sidecar: Sidecar, fp32: Sidecar | None) -> Told:
    if fp32 is not None:
        yield "fp32_bytes", sidecar.fp32_bytes, fp32.model_bytes
        yield "fp32_parameters", sidecar.fp32_parameters, fp32.parameters
        yield "fp32_macs", sidecar.fp32_macs, fp32.macs


def _of_certificate(certificate: Certificate, sidecar: Sidecar) -> Told:
    yield "certificate.delta_max_pp", certificate.delta_max_pp, sidecar.delta_max_pp
    yield "certificate.certified", certificate.certified, certificate.upper_pp <= sidecar.delta_max_pp
    images = certificate.images
    lost = round(certificate.drop_pp * images / 100)
    yield "certificate.drop_pp", round(certificate.drop_pp, DECIMALS), round(100 * lost / images, DECIMALS)
    # Of the pairings with that drop, the limit is least where no image is both lost here and gained there.
    _, least = drop_interval(max(lost, 0), max(-lost, 0), images, 1 - 2 * certificate.alpha)
    possible = certificate.upper_pp >= 100 * least - 10**-DECIMALS
    yield "certificate.upper_pp", certificate.upper_pp, certificate.upper_pp if possible else 100 * least


def _of_reading(sidecar: Sidecar) -> Told:
    for name in ("mean", "std"):
        resolved = getattr(sidecar.reading, name)
        if resolved is not None:
            yield name, getattr(sidecar, name), resolved


def require_same_images(context: Context, made: Artifact) -> None:
    """Refuses an artefact whose dataset has other classes here, or that other images certified than ``test`` holds.

    Raises:
        HqpError: it does.
    """
    sidecar = made.sidecar
    test = context.samples(sidecar.dataset, "test", sidecar.input_size, reading=sidecar.reading)
    if len(test.classes) != sidecar.num_classes:
        classes = f"{sidecar.num_classes} classes, and {sidecar.dataset} has {len(test.classes)}"
        raise HqpError(f"{made.path} was made for {classes}", "the dataset that it was made for", "export HQP_DATA=DIR")
    named = sidecar.split_digests.get("test")
    if sidecar.certificate and not any(named == digest for digest in _certifying(context, sidecar)):
        raise HqpError(
            f"{made.path} was certified by other images than 'test' of {sidecar.dataset} holds here",
            "the images that certified it, or an artefact that these certify",
            "export HQP_DATA=DIR",
        )


def _certifying(context: Context, sidecar: Sidecar) -> Iterator[str]:
    """What the images can be named by that certified; of those taken, some may not have been readable."""
    assert sidecar.certificate is not None
    counted, dataset, reading = sidecar.certificate.images, sidecar.dataset, sidecar.reading
    yield split_digest(dataset, "test", reading, counted)
    for skipped in range(1, len(sidecar.skipped_images) + 1):
        taken = context.samples(dataset, "test", sidecar.input_size, reading=reading, first=counted + skipped)
        yield taken.digest
