"""``hqp plot``: the figures of a report as files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from hqp.cli.application import Json, ResultsFile, answer, app


@app.command(epilog="Example: hqp plot .hqp/results/signs.json --format png")
def plot(
    results: ResultsFile,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Where the files go.")] = Path("figures"),
    form: Annotated[
        Literal["svg", "png", "csv", "json"],
        typer.Option("--format", help="What each is written as: drawn, or the numbers that are drawn."),
    ] = "svg",
    json: Json = False,
) -> None:
    """Draw a run's figures as SVG or PNG files, or write what they draw as CSV or JSON."""
    from hqp.run.plot import draw, why_no_history

    answer(lambda: draw(results, out, form), json, "\n".join)
    absent = why_no_history(results)
    if absent:
        print(f"hqp: no figure of the history: {absent}", file=sys.stderr)
