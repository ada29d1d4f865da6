"""A plug-in is a file, and its name is the file's name.

Listing imports nothing: it reads the names of files and of entry points. Other distributions contribute through the
entry-point group ``hqp.plugins``, with entry names such as ``criteria.my_criterion`` that point at a module.
"""

from __future__ import annotations

import importlib
import importlib.util
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from hqp.errors import HqpError, NotInstalled, UnknownName
from hqp.foreign import foreign

ENTRY_POINT_GROUP = "hqp.plugins"
KINDS = ("models", "datasets", "criteria", "methods", "runtimes", "devices", "probes", "gates", "reports", "exports")
SINGULAR = {"criteria": "criterion"}

# Which extra of the package brings what a plug-in requires.
EXTRAS = {
    "openvino": "openvino", "onnxruntime": "onnxruntime", "tensorrt": "jetson", "pycuda": "jetson", "timm": "timm",
    "torch": "compress", "torchvision": "compress", "safetensors": "compress", "onnxscript": "compress",
    "coremltools": "coreml", "ai_edge_litert": "litert",
    "jinja2": "report", "matplotlib": "report",
}  # fmt: skip


def singular(kind: str) -> str:
    """The word for one plug-in of a package: ``criterion`` of ``criteria``."""
    return SINGULAR.get(kind, kind.removesuffix("s"))


def _contributed(kind: str) -> dict[str, EntryPoint]:
    prefix = f"{kind}."
    found = entry_points(group=ENTRY_POINT_GROUP)
    return {entry.name.removeprefix(prefix): entry for entry in found if entry.name.startswith(prefix)}


def names(kind: str) -> tuple[str, ...]:
    """The names of all plug-ins of a package, sorted; nothing is imported."""
    folder = Path(__file__).parent / kind
    files = {path.stem for path in folder.glob("*.py") if not path.stem.startswith("_")}
    return tuple(sorted(files | _contributed(kind).keys()))


def missing(module: ModuleType) -> tuple[str, ...]:
    """Those of a plug-in's required packages that are not installed; nothing is imported."""
    return tuple(name for name in getattr(module, "requires", ()) if not _is_there(name))


def _is_there(package: str) -> bool:
    # Looking for a part of a package that is absent raises.
    return importlib.util.find_spec(package.partition(".")[0]) is not None and bool(importlib.util.find_spec(package))


def find(kind: str, name: str) -> ModuleType:
    """The module of a plug-in, whether or not what it requires is installed.

    Raises:
        UnknownName: nothing answers to the name.
        HqpError: another package's module raises on import, or is none.
    """
    if name not in names(kind):
        raise UnknownName(singular(kind), name, names(kind))
    contributed = _contributed(kind).get(name)
    if contributed is None:
        return importlib.import_module(f"hqp.{kind}.{name}")
    with foreign(f"{singular(kind)} '{name}' ({contributed.value}) cannot be imported", "a package that runs here"):
        module = contributed.load()
    if not isinstance(module, ModuleType):
        raise HqpError(f"entry point {contributed.value} is no module", f"{kind}.{name} = 'package.module'")
    return module


def require(kind: str, name: str) -> ModuleType:
    """The module of a plug-in that has all it requires.

    Raises:
        UnknownName: nothing answers to the name.
        NotInstalled: a package that it requires is missing.
    """
    module = find(kind, name)
    absent = missing(module)
    if absent:
        extra = next((EXTRAS[package] for package in absent if package in EXTRAS), None)
        raise NotInstalled(f"{singular(kind)} '{name}'", absent, extra)
    return module


def load(kind: str, name: str) -> Any:
    """A plug-in ready for use: its module or, of a name with an argument, what the module binds it to.

    ``torchvision:resnet50`` is the plug-in ``torchvision`` with the argument ``resnet50``. A name whose first part can
    only be a file or a module, ``nets/mine.py:build``, is an argument of the plug-in ``python``.

    Raises:
        UnknownName: nothing answers to the name.
        NotInstalled: a package that it requires is missing.
        HqpError: an argument is missing, or there is one too many.
    """
    head, _, argument = name.partition(":")
    if head not in names(kind) and "." in head and "python" in names(kind):
        head, argument = "python", name
    module = require(kind, head)
    wanted = getattr(module, "argument", None)
    if bool(argument) != (wanted is not None):
        raise HqpError(f"'{name}' is no {singular(kind)}", f"{head}:{wanted}" if wanted else head)
    return module.bind(argument) if wanted else module
