"""Hosts: this machine and others, on which commands run and files are read; what runtimes, devices and measuring share.

Whatever is asked of a device (its processor, its load, its power) is asked of the ``Host`` that it is on.
"""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import tempfile
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from hqp.errors import HqpError, command

# What the OpenSSH client itself ends with; a command's own code is passed on.
SSH_FAILED = 255
# How shells and `timeout` end.
TIMED_OUT, NOT_EXECUTABLE, NOT_FOUND = 124, 126, 127

# A connection that broke is tried again after so many seconds each: a board's radio takes some to come back.
PAUSES_S = (1.0, 5.0, 15.0)

# Of the shared connection, one in a folder; systems allow about a hundred characters for the whole path.
SOCKET = "s"

# What the client says, what that means, and what the user does about it; the first that fits is taken.
SSH_ERRORS = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "its host key is another than the one you know", "ssh-keygen -R"),
    ("Host key verification failed", "its host key is not known here", "ssh"),
    ("Permission denied", "it lets no key of yours in", "ssh-copy-id"),
    ("Could not resolve hostname", "there is no host of that name", "ssh"),
    ("Connection refused", "no SSH server answers there", "ssh"),
    ("timed out", "it does not answer", "ssh"),
    ("No route to host", "it does not answer", "ssh"),
    ("Bad configuration option", "your SSH configuration cannot be read", "ssh"),
)
# After these a second try may find the board back.
BROKEN = re.compile(r"closed|reset|[Bb]roken pipe|not responding|mux_client|disconnect|timed out|No route|refused|^$")


class CommandFailed(HqpError):
    """A command ended with another exit code than 0; what it wrote is kept for whoever knows how to read it."""

    def __init__(self, wrong: str, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr
        super().__init__(wrong)


class Unreachable(HqpError):
    """A host that does not let us in, or a connection that broke and did not come back."""


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

    def __hash__(self) -> int:
        """What is asked of a host once is remembered by it."""

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


class Ssh:
    """Another machine, through this system's OpenSSH client and the user's own configuration of it.

    Keys, jump hosts and aliases are the user's; host keys are checked as he has it, and nothing is ever asked. Commands
    share one connection. One that broke is opened anew and the command run again, so that a command given to ``run``
    must be one that may run twice.
    """

    def __init__(self, destination: str, pauses_s: Sequence[float] = PAUSES_S) -> None:
        if not destination or destination.startswith("-") or len(destination.split()) != 1:
            raise HqpError(f"'{destination}' is no host", "user@host, or a name of your SSH configuration")
        self.name, self._pauses_s = destination, tuple(pauses_s)
        self._sockets: Path | None = None
        self._reached = False

    def run(self, command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
        """A command run there to its end, quoted so that the shell there takes no word apart.

        Raises:
            HqpError: it took longer than ``timeout_s``, or there is no such program.
            CommandFailed: it failed.
            Unreachable: there is no way to the host.
        """
        start = time.perf_counter()
        with tempfile.TemporaryFile() as stdout:
            stderr = self._transfer(command, timeout_s=timeout_s, stdout=stdout)
            stdout.seek(0)
            told = stdout.read().decode("utf-8", "replace")
        return Completed(told, stderr, time.perf_counter() - start)

    def read(self, path: str) -> str:
        """A text file there.

        Raises:
            HqpError: there is none that can be read.
        """
        try:
            return self.run(("cat", path)).stdout
        except CommandFailed as error:
            raise HqpError(f"{path} cannot be read on {self.name}: {_last_line(error.stderr)}") from None

    def send(self, local: Path, remote: str) -> None:
        """Copies a file of this machine there, through the same connection."""
        self._transfer(("dd", f"of={remote}", "bs=64k", "status=none"), source=local)

    def fetch(self, remote: str, local: Path) -> None:
        """Copies a file from there to this machine: it is whole, or it is not there."""
        unfinished = local.with_name(f"{local.name}.unfinished")
        try:
            with unfinished.open("w+b") as file:
                self._transfer(("cat", remote), stdout=file)
            unfinished.replace(local)
        finally:
            unfinished.unlink(missing_ok=True)

    def _transfer(
        self,
        command: Sequence[str],
        *,
        timeout_s: float | None = None,
        source: Path | None = None,
        stdout: IO[bytes] | None = None,
    ) -> str:
        """Runs a command there with a file, or nothing, as its input; what it wrote to stderr."""
        # The client alone could be stopped from here; what it started would run on.
        words = ("timeout", f"{timeout_s:g}", *command) if timeout_s is not None else tuple(command)
        for pause_s in (*self._pauses_s, None):
            if stdout is not None:
                stdout.seek(0)
                stdout.truncate()
            code, stderr = self._client(words, source, stdout)
            if code != SSH_FAILED:
                break
            if pause_s is None or not self._reached or not BROKEN.search(_last_line(stderr)):
                raise self._unreachable(stderr)
            time.sleep(pause_s)
        self._reached = True
        if code == 0:
            return stderr
        if code == TIMED_OUT and timeout_s is not None:
            wrong = f"'{command[0]}' took longer than {timeout_s:g} s on {self.name}"
            raise HqpError(wrong, "a board that is not busy")
        if code in (NOT_FOUND, NOT_EXECUTABLE):
            raise HqpError(f"there is no program '{command[0]}' to run on {self.name}", "one on its PATH")
        written = ""
        if stdout is not None:
            stdout.seek(0)
            written = stdout.read().decode("utf-8", "replace")
        wrong = f"'{command[0]}' {_ending(code)} on {self.name}: {_last_line(stderr) or 'it wrote nothing'}"
        raise CommandFailed(wrong, code, written, stderr)

    def _client(self, words: Sequence[str], source: Path | None, stdout: IO[bytes] | None) -> tuple[int, str]:
        # A file, since the process that keeps the connection holds on to a pipe longer than the command lives.
        with tempfile.TemporaryFile() as stderr, open(source or os.devnull, "rb") as stdin:
            try:
                done = subprocess.run(
                    (*self._options(), "--", self.name, shlex.join(words)),
                    stdin=stdin,
                    stdout=stdout if stdout is not None else subprocess.DEVNULL,
                    stderr=stderr,
                    check=False,
                )
            except FileNotFoundError:
                raise HqpError("there is no program 'ssh' here", "the OpenSSH client") from None
            stderr.seek(0)
            return done.returncode, stderr.read().decode("utf-8", "replace")

    def _options(self) -> tuple[str, ...]:
        words = ["ssh", "-T"]
        # Nothing is asked: a password, or whether to trust a key, is the user's to settle before.
        settings = ["BatchMode=yes", "ConnectTimeout=10", "ServerAliveInterval=5", "ServerAliveCountMax=3"]
        if os.name == "posix":
            settings += ["ControlMaster=auto", f"ControlPath={self._socket_folder() / SOCKET}", "ControlPersist=60"]
        for setting in settings:
            words += ["-o", setting]
        return tuple(words)

    def _socket_folder(self) -> Path:
        if self._sockets is None:
            self._sockets = Path(tempfile.mkdtemp(prefix="hqp-"))
            weakref.finalize(self, _hang_up, self._sockets, self.name)
        return self._sockets

    def _unreachable(self, stderr: str) -> Unreachable:
        for said, meaning, program in SSH_ERRORS:
            if said in stderr:
                host = self.name.rpartition("@")[2] if program == "ssh-keygen -R" else self.name
                right = f"`{command('ssh', self.name, 'true')}` works in a terminal"
                return Unreachable(f"{self.name} cannot be reached: {meaning}", right, f"{program} {shlex.quote(host)}")
        said = _last_line(stderr) or "the client says nothing"
        wrong = f"the connection to {self.name} broke: {said}"
        return Unreachable(wrong, "a board that stays on; what was made is kept, and the same command goes on")


def _hang_up(sockets: Path, destination: str) -> None:
    """Ends the shared connection and removes its socket."""
    words = ("ssh", "-o", f"ControlPath={sockets / SOCKET}", "-O", "exit", "--", destination)
    subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    shutil.rmtree(sockets, ignore_errors=True)


@functools.cache
def host(destination: str) -> Host:
    """The host that a device names: this machine where it names none, else one reached over SSH."""
    return Ssh(destination) if destination else HERE


def run(command: Sequence[str], *, timeout_s: float | None = None) -> Completed:
    """A command run to its end, as a list of words that no shell ever reads; its standard input is empty.

    Raises:
        HqpError: there is no such program, or it took longer than ``timeout_s``.
        CommandFailed: it failed; with its last line.
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
        wrong = f"'{program}' {_ending(done.returncode)}: {_last_line(done.stderr) or 'it wrote nothing'}"
        raise CommandFailed(wrong, done.returncode, done.stdout, done.stderr)
    return Completed(done.stdout, done.stderr, time.perf_counter() - start)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _ending(code: int) -> str:
    """How a failed command ended, in words; POSIX gives a killing signal as a negative code."""
    return f"failed with exit code {code}" if code > 0 else f"was killed by signal {-code}"
