"""Hosts: this machine and others, on which commands run and files are read; what runtimes, devices and measuring share.

Whatever is asked of a device (its processor, its load, its power) is asked of the ``Host`` that it is on.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from hqp.errors import HqpError


@dataclass(frozen=True)
class Completed:
    """What a command that succeeded wrote, and how long it took."""

    stdout: str
    stderr: str
    seconds: float


class Host(Protocol):
    """A machine that runs commands and has files. ``name`` is ``here``, or what the user calls it: ``user@nano``."""

    @property
    def name(self) -> str:
        """How messages call it."""

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        """A command run there to its end, as a list of words that no shell takes apart.

        Raises:
            HqpError: there is no such program, it took longer than ``timeout_s``, or it failed: with its last line.
        """

    def read(self, path: str) -> str:
        """A text file there.

        Raises:
            HqpError: there is none that can be read.
        """

    def send(self, local: Path, remote: str) -> None:
        """Copies a file of this machine there."""

    def fetch(self, remote: str, local: Path) -> None:
        """Copies a file from there to this machine."""


class Here:
    """This machine."""

    name = "here"

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        """A command run here; see ``run``."""
        return run(command, timeout_s=timeout_s)

    def read(self, path: str) -> str:
        """A text file; what is no UTF-8 in it is replaced.

        Raises:
            HqpError: there is none that can be read.
        """
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError as error:
            raise HqpError(f"{path} cannot be read here: {error.strerror}") from None

    def send(self, local: Path, remote: str) -> None:
        """Copies a file to another place."""
        shutil.copyfile(local, remote)

    def fetch(self, remote: str, local: Path) -> None:
        """Copies a file from another place."""
        shutil.copyfile(remote, local)


HERE = Here()


def host(destination: str) -> Host:
    """The host that a device names: this machine where it names none."""
    if not destination:
        return HERE
    raise HqpError(f"'{destination}' cannot be reached", "a device on this machine")


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
