"""``hqp plot``: the figures of a report as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from hqp.cli.application import Json, ResultsFile, answer, app


@app.command(epilog="Example: hqp plot .hqp/results/signs.json --format png")
def plot(
    results: ResultsFile,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = Path("figures"),
    form: Annotated[Literal["svg", "png"], typer.Option("--format", help="What each figure is written as.")] = "svg",
    json: Json = False,
) -> None:
    """Draw a run's figures as SVG or PNG files."""
    from hqp.run.plot import draw

    answer(lambda: draw(results, out, form), json, "\n".join)
