"""``hqp init``: a first suite and the workflow that runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli import images
from hqp.cli.application import Dataset, Json, Names, answer, app


@app.command(
    cls=images.ImagesCommand,
    epilog="Example: hqp init --model resnet18 --dataset signs",
)
def init(
    model: Annotated[
        str, typer.Option(help="resnet18, torchvision:NAME, timm:NAME or path/to/file.py:build.")
    ] = "mobilenet_v3_small",
    weights: Annotated[str | None, typer.Option(help="The model's weight file.", show_default=False)] = None,
    dataset: Dataset = "signs",
    device: Annotated[
        str, typer.Option(help="The device that the suite measures on.", autocompletion=Names("devices"))
    ] = "cpu_openvino",
    crop: images.Crop = None,
    resize: images.Resize = None,
    interpolation: images.Interpolation = None,
    mean: images.Mean = None,
    std: images.Std = None,
    name: Annotated[str, typer.Option(help="The suite goes to suites/NAME.py.")] = "first",
    json: Json = False,
) -> None:
    """Write a first suite and a CI workflow that runs it."""

    def make() -> Any:
        from hqp.run.init import init as write

        reading = images.reading(mean, std, crop, resize, interpolation, skip_unreadable=0)
        return [str(file) for file in write(Path(), name, model, weights, dataset, device, reading)]

    answer(make, json, lambda files: "\n".join([*(f"wrote {file}" for file in files), f"next: pytest {files[0]}"]))
