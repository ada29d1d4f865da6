"""Words on the command line become a call of ``run/``, what it returns becomes text and an exit code.

0 is success, 1 a gate that failed, 2 a mistake that one line on standard error explains, 130 an interrupted run.
With ``--json``, standard output is one JSON document and nothing else; progress is on standard error.
A command is a file of this folder, which registers it with the application when it is imported.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
from collections.abc import Sequence

from typer.exceptions import TyperException

from hqp.cli.application import app
from hqp.errors import HqpError

MISTAKE, INTERRUPTED = 2, 130


def main(words: Sequence[str] | None = None) -> int:
    """The exit code of a command line, by default that of this process."""
    try:
        _import_commands()
        return _exit_code(app(args=words, prog_name="hqp", standalone_mode=False))
    except HqpError as error:
        return _mistake(error)
    except TyperException as error:
        return _mistake(_usage_error(error))
    except OSError as error:
        return _mistake(HqpError(f"{error.filename or 'the system'}: {error.strerror or error}"))
    except KeyboardInterrupt:
        return _exit_code(INTERRUPTED)


def _import_commands() -> None:
    for file in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{file.name}")


def _exit_code(code: int | None) -> int:
    if code == INTERRUPTED:
        print("hqp: stopped; finished steps are kept, the same command goes on where it stopped", file=sys.stderr)
    return code or 0


def _usage_error(error: TyperException) -> HqpError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "hqp"
    return HqpError(error.format_message().rstrip("."), fix=f"{command} --help")


def _mistake(error: HqpError) -> int:
    print(f"hqp: error: {error}", file=sys.stderr)
    return MISTAKE
