"""``hqp doctor``: what is usable here."""

from __future__ import annotations

from typing import Any

from hqp.cli.application import Json, answer, app, table


@app.command()
def doctor(json: Json = False) -> None:
    """Show what is usable here, and what makes the rest usable."""
    from hqp.run.doctor import doctor as examine

    answer(examine, json, _text)


def _text(findings: Any) -> str:
    rows = [("+" if one.usable else "-", one.kind, one.name, one.state) for one in findings]
    # On lines of their own, so that a command is never broken, and each once.
    commands = [f"  {fix}" for fix in dict.fromkeys(one.fix for one in findings if one.fix)]
    return "\n".join([table(rows), "", "what makes the rest usable:", *commands] if commands else [table(rows)])
