"""``hqp cache``: what the store holds."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from hqp.cli.application import Baselines, Json, answer, app, table

cache_app = typer.Typer(
    help="The store: what it holds, whether it is whole, and what may go.", epilog="Example: hqp cache --store .hqp"
)
app.add_typer(cache_app, name="cache")

StoreFolder = Annotated[Path, typer.Option("--store", metavar="DIR", help="Where the store is.")]

DAMAGED = 1


@cache_app.callback(invoke_without_command=True)
def list_cache(context: typer.Context, store: StoreFolder = Path(".hqp"), json: Json = False) -> None:
    """Show what the store holds, by kind."""
    if context.invoked_subcommand is None:
        from hqp.run.cache import listing

        answer(lambda: listing(store), json, _listed)


def _listed(kinds: Any) -> str:
    if not kinds:
        return "the store is empty"
    rows = [(one.kind, f"{one.entries:,}", _size(one.bytes), _ages(one)) for one in kinds]
    entries, size = sum(one.entries for one in kinds), sum(one.bytes for one in kinds)
    return table([("kind", "entries", "size", "last used"), *rows, ("all", f"{entries:,}", _size(size), "")])


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB"


def _ages(kind: Any) -> str:
    least, most = (f"{days:.0f}" for days in (kind.least_days, kind.most_days))
    return f"{least} days ago" if least == most else f"{least} to {most} days ago"


@cache_app.command("check", epilog="Example: hqp cache check")
def check_cache(store: StoreFolder = Path(".hqp"), json: Json = False) -> int:
    """Read all that the store holds, and say what is damaged; exits with 1 where anything is."""
    from hqp.run.cache import check

    def text(checked: Any) -> str:
        lines = [f"{one.path} is damaged ({one.fault}); the next run that needs it makes it anew"
                 for one in checked.faults]  # fmt: skip
        return "\n".join([*lines, f"{checked.entries:,} entries checked, {len(checked.faults):,} damaged"])

    return DAMAGED if answer(lambda: check(store), json, text).faults else 0


@cache_app.command("trim", epilog="Example: hqp cache trim --older-than 30")
def trim_cache(
    older_than: Annotated[
        float | None,
        typer.Option(metavar="DAYS", min=0, help="What was not used for so many days goes.", show_default=False),
    ] = None,
    max_bytes: Annotated[
        int | None,
        typer.Option(min=0, help="Then the least lately used goes, until so much is left.", show_default=False),
    ] = None,
    store: StoreFolder = Path(".hqp"),
    baselines: Baselines = Path("baselines"),
    json: Json = False,
) -> None:
    """Remove what no run has used for long; never what a run may be reading, or a baseline names."""
    from hqp.run.cache import trim

    def text(trimmed: Any) -> str:
        return f"removed entries: {trimmed.entries:,}, {_size(trimmed.bytes)}; left: {_size(trimmed.left_bytes)}"

    answer(lambda: trim(store, older_than, max_bytes, baselines), json, text)
