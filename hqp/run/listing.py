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
    """One plug-in; ``summary`` is the first sentence of its docstring, ``None`` for one of another package."""

    kind: str
    name: str
    summary: str | None


def listing(kind: str | None = None) -> tuple[Plugin, ...]:
    """Every plug-in of a kind, or of all kinds, sorted by kind and name.

    Raises:
        UnknownName: there is no such kind.
    """
    if kind is not None and kind not in catalog.KINDS:
        raise UnknownName("kind of plug-in", kind, catalog.KINDS)
    kinds = (kind,) if kind else catalog.KINDS
    return tuple(Plugin(kind, name, _summary(kind, name)) for kind in kinds for name in catalog.names(kind))


def _summary(kind: str, name: str) -> str | None:
    file = Path(hqp.__file__).parent / kind / f"{name}.py"
    if not file.is_file():
        return None
    paragraph = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").split("\n\n")[0]
    return " ".join(paragraph.split()) or None
