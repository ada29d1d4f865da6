"""``hqp profile``: what each layer of a network costs and takes."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli.application import WIDTH, Dataset, Json, Seed, answer, app
from hqp.cli.compress import Device, InputSize, NumClasses, Pretrained, Source, Weights

# A longer name is cut at its beginning, so that a row fits the page.
NAMED = 28


@app.command(epilog="Example: hqp profile resnet18 --device cpu_openvino --out layers.svg")
def profile(
    model: Source,
    dataset: Dataset = "signs",
    device: Device = "cpu_openvino",
    weights: Weights = None,
    pretrained: Pretrained = False,
    num_classes: NumClasses = None,
    seed: Seed = 0,
    input_size: InputSize = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="Also write it: drawn as .svg or .png, the numbers as .json."),
    ] = None,
    json: Json = False,
) -> None:
    """Show what each layer costs in accuracy and takes in time."""

    def make() -> Any:
        from hqp.run.inputs.request import Request
        from hqp.run.profile import check, write
        from hqp.run.profile import profile as run
        from hqp.suite import Model

        if out:
            check(out)
        chosen = Model(model, weights, pretrained, num_classes)
        found = run(Request(chosen, dataset, "hqp", device, 1.5, seed, input_size))
        if out:
            write(found, out)
        return found

    answer(make, json, _text)


def _text(profile: Any) -> str:
    from tabulate import tabulate

    headers = ("layer", "filters", "S", "INT8 nats", "pruned nats", "INT8 us", f"{profile.floats.upper()} us")
    rows = [_row(layer) for layer in profile.layers]
    table = str(tabulate(rows, headers, tablefmt="plain", disable_numparse=True, colalign=("left", *["right"] * 6)))
    legend = (
        f"{profile.model} at {profile.input_size}x{profile.input_size} on {profile.device}. S: mean sensitivity of the"
        " filters. nats: KL divergence from the trained model where this layer alone is INT8, or"
        f" {profile.share:.0%} of its filters are gone, on {profile.images} calibration images. us: by the runtime's"
        " profiler, with what it puts around the layer."
    )
    return f"{table}\n\n{textwrap.fill(legend, WIDTH)}"


def _row(layer: Any) -> tuple[str, ...]:
    name = layer.layer if len(layer.layer) <= NAMED else f"…{layer.layer[1 - NAMED :]}"
    costs = (layer.sensitivity, layer.quantised_nats, layer.pruned_nats)
    times = (layer.int8_ms, layer.float_ms)
    return (
        name,
        f"{layer.filters:,}",
        *("-" if cost is None else f"{cost:.2g}" for cost in costs),
        *("-" if ms is None else f"{1000 * ms:.1f}" for ms in times),
    )
