"""An internal error: one line for the user, and the details in a file for whoever mends it."""

from __future__ import annotations

import os
import platform
import sys
import time
import traceback
from pathlib import Path

import hqp

# EX_SOFTWARE of sysexits.h; 1, with which Python ends, would mean a gate that did not pass.
CRASHED = 70

FOLDER = Path(".hqp")


def report_crash(error: Exception) -> int:
    """Tells of an error that nobody foresaw; its details are in a file or, where none can be written, above."""
    details = _details(error)
    file = FOLDER / f"crash-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    try:
        FOLDER.mkdir(exist_ok=True)
        file.write_text(details, encoding="utf-8", errors="backslashreplace")
        where = f"in {file}"
    except OSError:
        print(details, file=sys.stderr)
        where = "above"
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    print(f"hqp: internal error: {reason}; this is a fault of HQP, please report it; details: {where}", file=sys.stderr)
    return CRASHED


def _details(error: Exception) -> str:
    lines = [
        f"hqp {hqp.__version__}, Python {platform.python_version()}, {platform.platform()}",
        f"command: {' '.join(sys.argv)}",
        "".join(traceback.format_exception(error)),
    ]
    return "\n".join(lines)
