"""Words on the command line become a call of ``run/``, what it returns becomes text and an exit code.

0 is success, 1 a gate that failed, 2 a mistake that one line on standard error explains, 70 an internal error whose
details are in a file that one line names. 130 is a run that Ctrl-C stopped, 143 one that SIGTERM stopped, 141 one whose
output nobody reads any more, as a shell counts them.
With ``--json``, standard output is one JSON document and nothing else; progress is on standard error.
A command is a file of this folder, which registers it with the application when it is imported.

This file imports next to nothing, so that a Ctrl-C in the first moments of a command meets ``main``, too.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # as in hqp/__init__.py

if TYPE_CHECKING:
    from collections.abc import Sequence

INTERRUPTED = 130


def main(words: Sequence[str] | None = None) -> int:
    """The exit code of a command line, by default that of this process."""
    try:
        from hqp.cli import ending

        return ending.exit_code(sys.argv[1:] if words is None else list(words))
    except KeyboardInterrupt as stop:
        print("hqp: stopped; finished steps are kept, the same command goes on where it stopped", file=sys.stderr)
        return getattr(stop, "exit_code", INTERRUPTED)
