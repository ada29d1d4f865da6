"""A model of one's own, `path/to/file.py:build` or `package.module:build`.

``build(num_classes)``, or ``build()`` where the number of classes is fixed, gives the module. An ``input_size`` beside
it says for which input it was designed, and ``training`` how `hqp train` trains it.
"""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable
from difflib import get_close_matches
from functools import partial
from inspect import BoundArguments
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from hqp.errors import HqpError
from hqp.foreign import foreign
from hqp.models import Architecture
from hqp.records import LARGEST_INPUT, SMALLEST_INPUT, digest_of

if TYPE_CHECKING:
    from torch import nn

requires = ("torch",)
argument = "FILE.py:FUNCTION"
EXAMPLE = "nets/mine.py:build"
# What modules from files are called in this process.
OWN = "hqp_model_"


def bind(argument: str) -> Architecture:
    """The model that a function of a file or of a module builds.

    Raises:
        HqpError: there is no such file, module or function.
    """
    place, _, name = argument.rpartition(":")
    if not place or not name.isidentifier():
        raise HqpError(f"'{argument}' names no function", "FILE.py:FUNCTION or PACKAGE.MODULE:FUNCTION", EXAMPLE)
    module = _from_file(Path(place)) if place.endswith(".py") else _installed(place)
    function = getattr(module, name, None)
    if not callable(function):
        raise _no_such_function(module, place, name)
    return Architecture(
        builder_of(function, argument),
        _input_size(module, place),
        digest=_digest(module),
        training=getattr(module, "training", {}),
        training_on=getattr(module, "training_on", {}),
    )


def _no_such_function(module: ModuleType, place: str, name: str) -> HqpError:
    wrong = f"{place} has no function '{name}'"
    functions = [other for other, value in vars(module).items() if callable(value)]
    near = get_close_matches(name, functions, n=1)
    if near:
        return HqpError(wrong, f"did you mean {near[0]}?", f"{place}:{near[0]}")
    return HqpError(wrong, f"def {name}(num_classes)")


def builder_of(function: Callable[..., nn.Module], name: str) -> Callable[[int], nn.Module]:
    """The function as one of the number of classes, which it may take by name, by place or not at all.

    Raises:
        HqpError: it needs other arguments.
    """
    with foreign(f"{name} cannot be called"):
        signature = inspect.signature(function)
    ways: tuple[Callable[[int], BoundArguments], ...] = (
        lambda classes: signature.bind(num_classes=classes),
        lambda classes: signature.bind(classes),
        lambda classes: signature.bind(),
    )
    for bind in ways:
        try:
            bind(0)
        except TypeError:
            continue
        return partial(_built, function, name, bind)
    right = f"def {name.rpartition(':')[2]}(num_classes)"
    raise HqpError(f"{name}{signature} needs other arguments than the number of classes", right)


def _built(
    function: Callable[..., nn.Module], name: str, bind: Callable[[int], BoundArguments], num_classes: int
) -> nn.Module:
    arguments = bind(num_classes)
    with foreign(f"{name} does not build a model of {num_classes} classes"):
        return function(*arguments.args, **arguments.kwargs)


def _input_size(module: ModuleType, place: str) -> int | None:
    if not hasattr(module, "input_size"):
        return None
    size: int = module.input_size
    if type(size) is not int or not SMALLEST_INPUT <= size <= LARGEST_INPUT:
        right = f"a whole number of pixels from {SMALLEST_INPUT} to {LARGEST_INPUT}, the height and the width"
        raise HqpError(f"input_size of {place} is {size!r}", right, "input_size = 224")
    return size


def _from_file(file: Path) -> ModuleType:
    if not file.is_file():
        raise HqpError(f"there is no file {file}", "a Python file that builds the model", EXAMPLE)
    # What stands beside the file can be imported by it, as where Python runs the file.
    folder = str(file.resolve().parent)
    sys.path.insert(0, folder)
    try:
        spec = importlib.util.spec_from_file_location(OWN + file.stem, file)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        with foreign(f"{file} cannot be imported", "code that runs in this environment"):
            spec.loader.exec_module(module)
        return module
    finally:
        sys.path.remove(folder)


def _installed(name: str) -> ModuleType:
    with foreign(f"{name} cannot be imported", "a module of this environment", EXAMPLE):
        return importlib.import_module(name)


def _digest(module: ModuleType) -> str:
    """A digest of the module's file and of the files beside it that it imports: what the model is made of."""
    file = Path(str(module.__file__)).resolve()
    depth = 0 if module.__name__.startswith(OWN) else module.__name__.count(".") + (file.name == "__init__.py")
    root = file.parents[depth]
    found: dict[Path, str] = {}
    _gather(file, root, found)
    return digest_of(sorted((path.relative_to(root).as_posix(), text) for path, text in found.items()))


def _gather(file: Path, root: Path, found: dict[Path, str]) -> None:
    """Adds a file and all below ``root`` that it imports, with their text."""
    if file in found or not file.is_relative_to(root):
        return
    found[file] = file.read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(found[file])):
        for place in _imported(node, file, root):
            for candidate in (place.with_suffix(".py"), place / "__init__.py"):
                if candidate.is_file():
                    _gather(candidate, root, found)


def _imported(node: ast.AST, file: Path, root: Path) -> list[Path]:
    """Where what a statement of ``file`` imports would lie, as a module or a package."""
    if isinstance(node, ast.Import):
        return [root.joinpath(*alias.name.split(".")) for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        # A dot is the file's own folder, each further one the folder above.
        folder = file.parents[node.level - 1] if node.level else root
        base = folder.joinpath(*(node.module or "").split("."))
        # What is imported from a package may be one of its modules.
        return [base, *(base / alias.name for alias in node.names)]
    return []
