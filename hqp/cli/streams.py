"""Standard output and error as HQP needs them: always there, and never a reason to lose a run."""

from __future__ import annotations

import io
import os
import sys
from typing import TextIO

from hqp import spelling


def prepare() -> None:
    """Makes both streams usable: closed ones lead nowhere, and signs that the encoding lacks are spelt out."""
    for name in ("stdout", "stderr"):
        # Where a shell closed it (`>&-`), Python gives None.
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors=spelling.registered())


def write(text: str) -> None:
    """Prints a whole answer; where its reader has left, as in ``hqp list | head -1``, the rest is dropped.

    Raises:
        OSError: it cannot be written for another reason, such as a full disk.
    """
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        abandon(sys.stdout)
    except OSError as error:
        abandon(sys.stdout)
        # What took minutes is shown all the same.
        print(text, file=sys.stderr)
        raise OSError(error.errno, error.strerror, "standard output") from None


def abandon(*given_up: TextIO) -> None:
    """Leads streams nowhere, or Python would try once more to write what they hold when it ends, and fail."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in given_up:
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
