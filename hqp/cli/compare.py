"""``hqp compare``: two runs beside each other."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hqp.cli.application import Json, answer, app

Run = Annotated[Path, typer.Argument(metavar="RESULTS", help="A results file, `.hqp/results/SUITE.json`.")]


@app.command(epilog="Example: hqp compare last-release.json .hqp/results/signs.json")
def compare(before: Run, after: Run, json: Json = False) -> None:
    """Show two runs case by case, with the intervals of what changed."""
    from hqp.run.compare import compare as compared
    from hqp.run.compare import text

    answer(lambda: compared(before, after), json, text)
