"""``hqp profile``: what each layer of a network is worth to accuracy, and to the time on a device."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from hqp import catalog, documents
from hqp.errors import HqpError
from hqp.records import SCHEMA_VERSION, LayerProfile, NetworkProfile, Pruning, Quantization, Ranking, Recipe
from hqp.run.context import Context
from hqp.run.inputs.request import Request
from hqp.run.job import prepared_job
from hqp.store import Store

# What a profile is written as, by the end of the file's name.
FORMS = (".json", ".svg", ".png")

# What is pruned is ranked by S, and what is quantised is calibrated once.
RECIPE = Recipe(pruning=Pruning((Ranking("fisher"),), images=1_000), quantization=Quantization(("minmax",)))


@dataclass(frozen=True)
class Layers:
    """The layers of a network as the store keeps them."""

    layers: tuple[LayerProfile, ...]


def profile(request: Request) -> NetworkProfile:
    """The profile of a request's network, measured where the store does not have it yet."""
    context = Context(Store(Path(".hqp")))
    job = prepared_job(context, request, RECIPE)
    from hqp.compress.studies import layer_profile

    key = {**job.key, "device": job.device, "policy": asdict(job.policy), "recipe": asdict(RECIPE)}
    with context.progress.case(f"{request.model.name}-profile-{request.device}", 1, 1):
        kept = context.store.record("profiles", key, Layers, lambda: Layers(layer_profile.profile(job)))
    return NetworkProfile(
        schema_version=SCHEMA_VERSION,
        model=request.model.name,
        dataset=request.dataset,
        device=request.device,
        input_size=job.input_size,
        images=min(layer_profile.IMAGES, len(job.calibration)),
        share=layer_profile.SHARE,
        floats=job.floats,
        layers=kept.layers,
    )


def check(file: Path) -> None:
    """Sees, before minutes are spent, that a profile can be written there.

    Raises:
        HqpError: the file's name ends otherwise, or what draws is not installed.
    """
    if file.suffix not in FORMS:
        raise HqpError(f"'{file}' says no form", f"a file that ends in {', '.join(FORMS)}", "--out layers.svg")
    if file.suffix != ".json":
        catalog.require("reports", "html")


def write(profile: NetworkProfile, file: Path) -> None:
    """Writes a profile as a document or, with a ``.svg`` or ``.png``, as a figure."""
    if file.suffix == ".json":
        documents.write(file, profile)
        return
    from hqp.reports import _drawing, _layer_map

    draw = partial(_layer_map.draw, profile)
    drawn = _drawing.png(draw) if file.suffix == ".png" else _drawing.svg(draw, profile.model).encode()
    documents.write_bytes(file, drawn)
