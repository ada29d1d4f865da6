"""How a command line ends: whatever happens is an exit code and, unless all is well, one line."""

from __future__ import annotations

import importlib
import pkgutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from hqp.cli import streams
from hqp.cli.crash import report_crash
from hqp.errors import HqpError

MISTAKE, UNREAD = 2, 141


class Terminated(KeyboardInterrupt):
    """SIGTERM: whatever tidies up after Ctrl-C does so after it, too."""

    exit_code = 143


def exit_code(words: list[str]) -> int:
    """The exit code of a command line.

    Raises:
        KeyboardInterrupt: Ctrl-C or SIGTERM stopped it.
    """
    try:
        with _terminable():
            streams.prepare()
            return _run(words)
    except HqpError as error:
        return _mistake(error)
    except BrokenPipeError:
        streams.abandon(sys.stdout, sys.stderr)
        return UNREAD
    except OSError as error:
        return _mistake(HqpError(f"{error.filename2 or error.filename or 'the system'}: {error.strerror or error}"))
    except MemoryError as error:
        return _mistake(HqpError(f"out of memory: {error}", "more memory, or smaller images", "--input-size SMALLER"))
    except Exception as error:  # the outermost frame: what nobody foresaw gets an exit code of its own
        return report_crash(error)


def _run(words: list[str]) -> int:
    from hqp.cli import application

    for file in pkgutil.iter_modules([str(Path(__file__).parent)]):
        importlib.import_module(f"hqp.cli.{file.name}")
    return application.run(words)


@contextmanager
def _terminable() -> Iterator[None]:
    """While it lasts, SIGTERM ends the run as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _terminate(number: int, frame: object) -> NoReturn:
    raise Terminated


def _mistake(error: HqpError) -> int:
    print(f"hqp: error: {error}", file=sys.stderr)
    return MISTAKE
