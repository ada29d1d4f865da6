"""``hqp list``: the plug-ins there are, each with the first sentence of its file. Nothing is imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import hqp
from hqp import catalog
from hqp.errors import UnknownName


@dataclass(frozen=True)
class Plugin:
    """One plug-in; ``summary`` is the first sentence of its docstring, ``None`` for one of another package.

    ``argument`` says what follows its name after a colon, where something does.
    """

    kind: str
    name: str
    summary: str | None
    argument: str | None = None


def listing(kind: str | None = None) -> tuple[Plugin, ...]:
    """Every plug-in of a kind, or of all kinds, sorted by kind and name.

    Raises:
        UnknownName: there is no such kind.
    """
    if kind is not None and kind not in catalog.KINDS:
        raise UnknownName("kind of plug-in", kind, catalog.KINDS)
    kinds = (kind,) if kind else catalog.KINDS
    return tuple(_plugin(kind, name) for kind in kinds for name in catalog.names(kind))


def _plugin(kind: str, name: str) -> Plugin:
    file = Path(hqp.__file__).parent / kind / f"{name}.py"
    if not file.is_file():
        return Plugin(kind, name, None)
    source = ast.parse(file.read_text(encoding="utf-8"))
    paragraph = (ast.get_docstring(source) or "").split("\n\n")[0]
    return Plugin(kind, name, " ".join(paragraph.split()) or None, _argument(source))


def _argument(source: ast.Module) -> str | None:
    for node in source.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "argument":
            return str(ast.literal_eval(node.value))
    return None
