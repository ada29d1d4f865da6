"""``hqp list``: the plug-ins there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from hqp.cli.application import Json, answer, app, table


@app.command("list", epilog="Example: hqp list gates")
def list_plugins(
    kind: Annotated[str | None, typer.Argument(help="models, datasets, methods, …", show_default=False)] = None,
    json: Json = False,
) -> None:
    """Show the plug-ins there are."""
    from hqp.run.listing import listing

    def text(found: Any) -> str:
        names = [f"{one.name}:{one.argument}" if one.argument else one.name for one in found]
        return table([(one.kind, name, one.summary or "") for one, name in zip(found, names, strict=True)])

    answer(lambda: listing(kind), json, text)
