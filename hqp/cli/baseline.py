"""``hqp baseline``: what regression is judged against."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hqp.cli.application import Baselines, Json, ResultsFile, answer, app, table
from hqp.errors import HqpError

if TYPE_CHECKING:
    from hqp.baselines import Difference

baseline_app = typer.Typer(
    help="Stored baselines: what regression is judged against.",
    epilog="Example: hqp baseline update .hqp/results/signs.json",
)
app.add_typer(baseline_app, name="baseline")

Artefacts = Annotated[
    Path | None,
    typer.Option("--artefacts", metavar="DIR", help="Where their artefacts are kept: `files` below the baselines."),
]
Again = Annotated[
    Path | None,
    typer.Argument(
        metavar="AGAIN", help="The results of a second run: by default those of the run before.", show_default=False
    ),
]
RunOrNone = Annotated[Path | None, typer.Argument(metavar="RESULTS", help="A results file.", show_default=False)]
Since = Annotated[
    str | None,
    typer.Option(metavar="REVISION", help="The baselines of a revision, for a reviewer.", show_default=False),
]
StoreFolder = Annotated[Path, typer.Option("--store", metavar="DIR", help="The store of the run.")]


@baseline_app.command("update", epilog="Example: hqp baseline update .hqp/results/signs.json")
def update_baseline(
    results: ResultsFile,
    again: Again = None,
    baselines: Baselines = Path("baselines"),
    artefacts: Artefacts = None,
    store: StoreFolder = Path(".hqp"),
    json: Json = False,
) -> None:
    """Make a run's measurements the baselines of its suite, if a second run agrees, and keep its artefacts beside."""
    from hqp.run.baseline import update

    answer(lambda: update(results, baselines, artefacts, store, again), json, "\n".join)


@baseline_app.command("diff", epilog="Example: hqp baseline diff --since origin/main")
def diff_baseline(
    results: RunOrNone = None,
    baselines: Baselines = Path("baselines"),
    since: Since = None,
    json: Json = False,
) -> None:
    """Show in what a run differs from the baselines of its suite, or these from those of a revision."""
    from hqp.run.baseline import changed_since, diff

    def make() -> tuple[Difference, ...]:
        if (results is None) == (since is None):
            raise HqpError("a run or a revision is compared", "one of them", "hqp baseline diff --since origin/main")
        return diff(results, baselines) if results is not None else changed_since(str(since), baselines)

    answer(make, json, readable)


# How a reviewer reads each fact of a case: its name, and a value of it.
FACTS: dict[str, tuple[str, Callable[[Any], str]]] = {
    "model_sha256": ("artefact", lambda digest: str(digest)[:12]),
    "model_bytes": ("bytes", lambda count: f"{count:,}"),
    "sparsity": ("θ", lambda share: f"{100 * share:.1f}%"),
    "split_digest": ("test images", lambda digest: str(digest)[:12]),
    "total": ("images", lambda count: f"{count:,}"),
    "correct": ("top-1 hits", lambda count: f"{count:,}"),
    "correct_top5": ("top-5 hits", lambda count: f"{count:,}"),
    "median_latency_ms": ("median", lambda ms: f"{ms:.3f} ms"),
}


def readable(differences: tuple[Difference, ...]) -> str:
    """The differences, case by case: what it was, what it is, and by how much a number changed."""
    if not differences:
        return "no difference"
    parts = []
    for case in dict.fromkeys(difference.case for difference in differences):
        rows = [_row(difference) for difference in differences if difference.case == case]
        parts.append(f"{case}\n{table(rows)}")
    return "\n\n".join(parts)


def _row(difference: Difference) -> tuple[str, ...]:
    name, form = _reading_of(difference)
    old, new = ("–" if side is None else form(side) for side in (difference.old, difference.new))
    return f"  {name}", old, "->", new, _change(difference.old, difference.new)


def _reading_of(difference: Difference) -> tuple[str, Callable[[Any], str]]:
    """A difference's name in words, and how a value of it is told."""
    from hqp.records import in_readable_unit, words_of

    if difference.what in FACTS:
        return FACTS[difference.what]
    return words_of(difference.what), lambda value: " ".join(in_readable_unit(value, difference.unit))


def _change(old: object, new: object) -> str:
    numbers = isinstance(old, int | float) and isinstance(new, int | float) and old
    return f"{100 * (new / old - 1):+.1f}%" if numbers else ""  # type: ignore[operator]
