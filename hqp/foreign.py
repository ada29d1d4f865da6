"""Code that is not HQP's: whatever ends a model's file is told in one line, and a package sends nothing home."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import sysconfig
import traceback
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from types import ModuleType
from typing import TextIO

from hqp.errors import HqpError

OWN = str(Path(__file__).parent)

STDOUT, STDERR = 1, 2  # the files' numbers


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


@contextmanager
def silence() -> Iterator[None]:
    """While converters run: standard output and standard error lead nowhere, no warning is given and nothing logged.

    They write progress there, and torch a graph that it cannot export, in thousands of lines; in C++ that is done past
    ``sys.stdout``. What they raise is raised.
    """
    logging_allowed = logging.root.manager.disable
    with ExitStack() as stack:
        nowhere = stack.enter_context(open(os.devnull, "w"))
        stack.enter_context(_leading_to(nowhere, STDOUT, sys.stdout))
        stack.enter_context(_leading_to(nowhere, STDERR, sys.stderr))
        # What Python writes need not go by these files, in a notebook say.
        stack.enter_context(redirect_stdout(nowhere))
        stack.enter_context(redirect_stderr(nowhere))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        stack.callback(logging.disable, logging_allowed)
        logging.disable(logging.CRITICAL)
        yield


@contextmanager
def _leading_to(place: TextIO, number: int, stream: TextIO | None) -> Iterator[None]:
    """A file of the process, by its number, leads to another; ``stream`` writes to it, unless it is closed."""
    if stream is None:
        yield
        return
    stream.flush()
    kept = os.dup(number)
    os.dup2(place.fileno(), number)
    try:
        yield
    finally:
        os.dup2(kept, number)
        os.close(kept)


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
