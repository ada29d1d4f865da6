"""What names the code that makes artefacts, so that what an older engine made is not taken for this one's.

It is the pipeline with every module of HQP that it reaches by imports, wherever these stand. What only a person
reads, comments, docstrings and layout, is no part of that name, and neither is a file that makes nothing.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterable, Iterator
from pathlib import Path

import hqp
from hqp import catalog
from hqp.records import Digest, Recipe, digest_of

PACKAGE = Path(hqp.__file__).parent
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)

# What makes a model and its file, what writes its weights, and what makes the record of its layers.
MAKERS = tuple(
    PACKAGE / "compress" / name for name in ("pipeline.py", "exporting/pruned_weights.py", "exporting/layer_record.py")
)


def engine_digest() -> Digest:
    """The digest of the code that makes artefacts, whatever ranks their channels."""
    return code_digest(*MAKERS)


def criteria_digest(recipe: Recipe) -> Digest:
    """The digest of the code of the criteria by which a recipe ranks."""
    rankings = recipe.pruning.rankings if recipe.pruning else ()
    files = {str(catalog.find("criteria", ranking.criterion).__file__) for ranking in rankings}
    return code_digest(*map(Path, sorted(files)))


@functools.cache
def code_digest(*roots: Path, package: Path = PACKAGE) -> Digest:
    """The digest of the code of these files, and of all that they reach by imports in the package."""
    return digest_of(sorted((_name(package, file), _code(file)) for file in reached(package, roots)))


def reached(package: Path, roots: Iterable[Path]) -> set[Path]:
    """The files of a package that these files reach by imports, themselves among them."""
    found: set[Path] = set()
    ahead = list(roots)
    while ahead:
        file = ahead.pop()
        if file not in found:
            found.add(file)
            ahead += _imported(package, file)
    return found


def _imported(package: Path, file: Path) -> Iterator[Path]:
    for node in ast.walk(_tree(file)):
        if isinstance(node, ast.Import):
            modules = [_module(package, alias.name) for alias in node.names]
            yield from (module for module in modules if module is not None)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield from _defining(package, file, node, alias.name)
        elif isinstance(node, ast.Name) and node.id == "__path__":
            # A package that lists its folder imports every file of it.
            yield from file.parent.glob("*.py")


def _defining(package: Path, file: Path, node: ast.ImportFrom, name: str) -> Iterator[Path]:
    """The file of what ``from … import name`` names: that of a module, or the one in which the name is defined."""
    place = _place(package, file, node)
    if place is None:
        return
    module, parent = _module_at(place / name), _module_at(place)
    if module is not None:
        yield module
    elif parent is not None:
        # A package may only pass names on: what else stands behind its `__init__` is not reached by that.
        passing_on = _passing_on(parent, name) if parent.name == "__init__.py" else []
        for one in passing_on:
            yield from _defining(package, parent, one, name)
        if not passing_on:
            yield parent


def _passing_on(file: Path, name: str) -> list[ast.ImportFrom]:
    """The imports of a package's ``__init__`` by which it has a name."""
    imports = [node for node in _tree(file).body if isinstance(node, ast.ImportFrom)]
    return [node for node in imports if name in [alias.name for alias in node.names]]


def _place(package: Path, file: Path, node: ast.ImportFrom) -> Path | None:
    """Where the module that an import is from lies; ``None`` for one of another package.

    A plug-in of another distribution lies anywhere: what it imports from beside itself is a part of it.
    """
    parts = node.module.split(".") if node.module else []
    if node.level:
        return file.parents[node.level - 1].joinpath(*parts)
    return package.joinpath(*parts[1:]) if parts[:1] == [package.name] else None


def _module(package: Path, name: str) -> Path | None:
    """The file of a module of the package by its dotted name; ``None`` for one of another."""
    head, *parts = name.split(".")
    return _module_at(package.joinpath(*parts)) if head == package.name else None


def _module_at(place: Path) -> Path | None:
    """The file of the package or module at a place; ``None`` where there is none."""
    candidates = (place / "__init__.py", place.with_suffix(".py"))
    return next((file for file in candidates if file.is_file()), None)


def _name(package: Path, file: Path) -> str:
    # A plug-in of another distribution lies anywhere.
    return file.relative_to(package).as_posix() if file.is_relative_to(package) else file.name


@functools.cache
def _tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _code(file: Path) -> str:
    """A file's source without comments, docstrings and layout."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)
