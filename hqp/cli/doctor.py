"""``hqp doctor``: what is usable here."""

from __future__ import annotations

from typing import Any

from hqp.cli.application import Json, answer, app, table


@app.command()
def doctor(json: Json = False) -> None:
    """Show what is usable here and, for what is not, the command that makes it so."""
    from hqp.run.doctor import doctor as examine

    def text(found: Any) -> str:
        return table([("+" if one.usable else "-", one.kind, one.name, one.state, one.fix or "") for one in found])

    answer(examine, json, text)
