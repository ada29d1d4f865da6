"""``hqp baseline``: what regression is judged against."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer

from hqp.cli.application import Baselines, Json, ResultsFile, answer, app, table

baseline_app = typer.Typer(help="Stored baselines: what regression is judged against.")
app.add_typer(baseline_app, name="baseline")


@baseline_app.command("update")
def update_baseline(results: ResultsFile, baselines: Baselines = Path("baselines"), json: Json = False) -> None:
    """Make a run's measurements the baselines of its suite."""
    from hqp.run.baseline import update

    answer(lambda: update(results, baselines), json, "\n".join)


@baseline_app.command("diff")
def diff_baseline(results: ResultsFile, baselines: Baselines = Path("baselines"), json: Json = False) -> None:
    """Show in what a run differs from the baselines of its suite."""
    from hqp.run.baseline import diff

    def text(found: Any) -> str:
        rows = [(str(one.case), one.what, str(one.old), "->", str(one.new)) for one in found]
        return table(rows) if rows else "no difference"

    answer(lambda: diff(results, baselines), json, text)
