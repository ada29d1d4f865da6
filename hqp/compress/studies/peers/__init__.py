"""Other tools, one file each: what they make of the trained network that HQP compresses, within the same bound.

A file defines

* ``name``: what the table calls it;
* ``requires``: the packages that it needs;
* ``make(given: Given, out: Path) -> None``: writes the file that the tool makes of what is given.
"""

from __future__ import annotations

import importlib
import pkgutil
from types import ModuleType


def peers() -> dict[str, ModuleType]:
    """Every tool by its name, in the order of their files."""
    files = sorted(found.name for found in pkgutil.iter_modules(__path__) if not found.name.startswith("_"))
    modules = [importlib.import_module(f"{__name__}.{file}") for file in files]
    return {module.name: module for module in modules}
