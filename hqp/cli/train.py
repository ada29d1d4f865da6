"""``hqp train``: a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli.application import Dataset, Json, Seed, Skip, answer, app
from hqp.errors import command


@app.command(epilog="Example: hqp train resnet18 --dataset signs")
def train(
    model: Annotated[str, typer.Argument(help="The model's name.", show_default=False)],
    dataset: Dataset = "signs",
    out: Annotated[Path, typer.Option(help="Where OUT/DATASET/MODEL.safetensors and its card go.")] = Path("fixtures"),
    seed: Seed = 0,
    skip_unreadable: Skip = 0,
    json: Json = False,
) -> None:
    """Train a checkpoint, or go on with one that was stopped."""

    def make() -> Any:
        from hqp.run.train import train as run

        return run(model, dataset, out, seed=seed, skip_unreadable=skip_unreadable)

    def text(card: Any) -> str:
        from hqp.run.inputs.checkpoints import trained

        following = command("hqp", "compress", model, "--dataset", dataset, "--out", "out/mine")
        return f"{trained(out, model, dataset)}\nnext: {following}"

    answer(make, json, text)
