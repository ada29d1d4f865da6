"""``hqp report``: results as a report."""

from __future__ import annotations

from typing import Annotated

import typer

from hqp.cli.application import Json, Names, ResultsFile, answer, app, rendered


@app.command(epilog="Example: hqp report .hqp/results/signs.json --format markdown")
def report(
    results: ResultsFile,
    form: Annotated[
        str, typer.Option("--format", help="The report's name.", autocompletion=Names("reports"))
    ] = "table",
    json: Json = False,
) -> None:
    """Show results as a report, whose names `hqp list reports` shows."""
    from hqp.run.baseline import read_results

    answer(lambda: read_results(results), json, lambda read: rendered(form, read))
