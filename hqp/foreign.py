"""Code that is not HQP's: whatever ends a model's file is told in one line, and a package sends nothing home."""

from __future__ import annotations

import importlib
import sys
import sysconfig
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from hqp.errors import HqpError

OWN = str(Path(__file__).parent)


@contextmanager
def foreign(what: str, right: str = "", fix: str = "") -> Iterator[None]:
    """While code runs that HQP did not write, any exception of it, ``sys.exit`` too, becomes ``what`` with its reason.

    Raises:
        HqpError: the code raised something; lack of memory and Ctrl-C stay what they are.
    """
    try:
        yield
    except (HqpError, MemoryError):
        raise
    except (Exception, SystemExit) as error:  # what such code raises is for nobody to foresee
        raise HqpError(f"{what} ({_reason(error)})", right, fix) from error


def without_telemetry(package: str, sender: str) -> ModuleType:
    """A package, imported without its telemetry, which reports every import unless the user has opted out.

    ``sender`` is the package that would send.
    """
    blocked = sender not in sys.modules
    if blocked:
        # An entry of None makes its import fail, and the package then takes a stub of its own in its place.
        sys.modules[sender] = None  # type: ignore[assignment]
    try:
        return importlib.import_module(package)
    finally:
        if blocked:
            del sys.modules[sender]


def _reason(error: BaseException) -> str:
    said = str(error).partition("\n")[0]
    place = _place(error)
    return ", ".join(filter(None, (f"{type(error).__name__}: {said}" if said else type(error).__name__, place)))


def _place(error: BaseException) -> str:
    """The last line of code that belongs to the user, not to Python, an installed package or HQP."""
    installed = [sysconfig.get_path(name) for name in ("stdlib", "purelib", "platlib")]
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if not frame.filename.startswith((OWN, "<", *installed)):
            return f"{Path(frame.filename).name} line {frame.lineno}"
    return ""
