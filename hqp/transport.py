"""Running a command: what runtimes, devices and measuring share."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass

from hqp.errors import HqpError


@dataclass(frozen=True)
class Completed:
    """What a command that succeeded wrote, and how long it took."""

    stdout: str
    stderr: str
    seconds: float


def run(command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
    """A command run to its end, as a list of words that no shell ever reads; its standard input is empty.

    Raises:
        HqpError: there is no such program, it took longer than ``timeout_s``, or it failed: with its last line.
    """
    program = command[0]
    start = time.perf_counter()
    try:
        done = subprocess.run(
            list(command),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
            encoding="utf-8",
            errors="replace",
        )
    except (FileNotFoundError, PermissionError):
        raise HqpError(f"there is no program '{program}' to run here", "its full path, or one on PATH") from None
    except subprocess.TimeoutExpired:
        raise HqpError(f"'{program}' took longer than {timeout_s:g} s", "a machine that is not busy") from None
    if done.returncode != 0:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        raise HqpError(f"'{program}' {_ending(done.returncode)}: {lines[-1] if lines else 'it wrote nothing'}")
    return Completed(done.stdout, done.stderr, time.perf_counter() - start)


def _ending(code: int) -> str:
    """How a failed command ended, in words; POSIX gives a killing signal as a negative code."""
    return f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"
