"""``hqp doctor``: what is usable here."""

from __future__ import annotations

from typing import Any

from hqp.cli.application import Json, answer, app, table


@app.command(epilog="Example: hqp doctor --json")
def doctor(json: Json = False) -> None:
    """Show what is usable here, and what makes the rest usable."""
    from hqp.run.doctor import doctor as examine

    answer(examine, json, _text)


def _text(findings: Any) -> str:
    """A table of what was found, and below it the commands that make the rest usable."""
    rows = [("+" if finding.usable else "-", finding.kind, finding.name, finding.state) for finding in findings]
    # One command may make several things usable.
    fixes = dict.fromkeys(finding.fix for finding in findings if finding.fix)
    lines = [table(rows)]
    if fixes:
        # On lines of their own, so that a command is never broken.
        lines += ["", "what makes the rest usable:", *(f"  {fix}" for fix in fixes)]
    return "\n".join(lines)
