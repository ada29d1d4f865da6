"""``hqp train``: a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli.application import Dataset, Json, Seed, Skip, answer, app
from hqp.errors import command
from hqp.records import LARGEST_INPUT, SMALLEST_INPUT


@app.command(epilog="Example: hqp train resnet18 --dataset signs")
def train(
    model: Annotated[str, typer.Argument(help="The model's name.", show_default=False)],
    dataset: Dataset = "signs",
    out: Annotated[Path, typer.Option(help="Where OUT/DATASET/MODEL.safetensors and its card go.")] = Path("fixtures"),
    size: Annotated[
        int | None,
        typer.Option(metavar="PIXELS", min=SMALLEST_INPUT, max=LARGEST_INPUT, help="Size of the images in the end."),
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Weights to start from; only the last phase is run.", show_default=False),
    ] = None,
    seed: Seed = 0,
    skip_unreadable: Skip = 0,
    json: Json = False,
) -> None:
    """Train a checkpoint, or go on with one that was stopped."""

    def make() -> Any:
        from hqp.run.train import train as run

        return run(model, dataset, out, size=size, start=start, seed=seed, skip_unreadable=skip_unreadable)

    def text(card: Any) -> str:
        from hqp.run.inputs.checkpoints import trained

        following = command("hqp", "compress", model, "--dataset", dataset, "--out", "out/mine")
        return f"{trained(out, model, dataset)}\nnext: {following}"

    answer(make, json, text)
