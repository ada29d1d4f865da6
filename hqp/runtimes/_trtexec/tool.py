"""The ``trtexec`` of a host: found, asked for its options, given a folder to work in, and read when it fails."""

from __future__ import annotations

import functools
import re
import secrets
import weakref
from dataclasses import dataclass
from pathlib import Path

from hqp.errors import HqpError, command
from hqp.runtimes._trtexec import log
from hqp.runtimes._trtexec.log import Log
from hqp.runtimes._trtexec.options import Options
from hqp.store import sha256_of
from hqp.transport import CommandFailed, Host

# Not on PATH up to JetPack 7.1; run by `sh`, and the same text for every host.
LOOK = """
for file in "$TRTEXEC" "$(command -v trtexec)" /usr/src/tensorrt/bin/trtexec /usr/bin/trtexec; do
  if [ -x "$file" ]; then echo "$file"; exit 0; fi
done
exit 1
"""

# Removes what runs of this user left that were killed a day ago or earlier, and makes the folder of this one.
SET_UP = """
find /tmp -maxdepth 1 -name 'hqp-board-????????????' -user "$(id -un)" -mmin +1440 -exec find {} -delete \\;
mkdir -m 700 -p "$1"
"""

# Building an INT8 engine on a Nano-class board takes minutes, since every kernel is timed; running it, seconds.
BUILD_S, RUN_S = 3600.0, 300.0
HELP_S = 60.0

# What the library says, what that means and what is to be done; `{host}` is the host, `{found}` the first group.
FAULTS = (
    (r"No space left on device", "the disk of {host} is full", "room for an engine, a few hundred MB", ""),
    (
        r"Could not find any implementation for node (.+?)(?:\.\)?)?$",
        "TensorRT on {host} has no kernel for {found}",
        "that layer in float, or another TensorRT",
        "hqp compress MODEL --method pruned",
    ),
    (
        r"require hardware with Int8 support",
        "the GPU of {host} has no INT8",
        "an FP16 artefact, made for this very device",
        "hqp compress MODEL --device DEVICE",
    ),
    (
        r"(?:Version tag does not match|not compatible with this version of TensorRT|different TensorRT version)",
        "the engine was built by another TensorRT than {host} has now",
        "an engine of this one, which the next run builds",
        "the same command again",
    ),
    (
        r"(?:generated on an incompatible device|compute capabilit\w+ .*mismatch)",
        "the engine was built for another GPU than that of {host}",
        "an engine built there",
        "the same command again",
    ),
    (
        r"(?:OutOfMemory|out of memory|CUDA_ERROR_OUT_OF_MEMORY)",
        "the memory of {host} is too small for this engine",
        "a board on which nothing else runs, or a smaller network",
        "",
    ),
    (
        r"(?:no CUDA-capable device|CUDA initialization failure|CUDA driver version is insufficient)",
        "no GPU can be used on {host}",
        "a user in the group 'video', and NVIDIA's driver",
        "",
    ),
    (r"(?:Permission denied|EACCES)", "the user on {host} has no right to do that", "a user in the group 'video'", ""),
    (r"Unknown option: (\S+)", "trtexec on {host} does not know {found}, which its --help lists", "NVIDIA's own", ""),
)


@dataclass(frozen=True, eq=False)
class Tool:
    """A ``trtexec``: the host it is on, its path there, its version and the options it lists."""

    host: Host
    path: str
    version: str
    options: Options

    def run(self, words: tuple[str, ...], limit_s: float) -> Log:
        """The log of a run that passed. Runs on one host wait for each other, whoever started them.

        Raises:
            HqpError: it failed, with what that means; or it took longer than ``limit_s``.
        """
        # The lock is on the program itself: it ends with the run that holds it, and leaves nothing.
        try:
            done = self.host.run(("flock", self.path, self.path, *words), timeout_s=limit_s)
        except CommandFailed as error:
            raise self._failed(log.read(error.stdout + error.stderr), error) from None
        said = log.read(done.stdout + done.stderr)
        if said.outcome != "PASSED":
            raise HqpError(f"trtexec on {self.host.name} did not say that it passed", "a run that is not cut off")
        return said

    def _failed(self, said: Log, error: CommandFailed) -> HqpError:
        text = "\n".join((*said.errors, error.stdout, error.stderr))
        for pattern, wrong, right, fix in FAULTS:
            found = re.search(pattern, text, re.MULTILINE)
            if found:
                group = found[1] if found.groups() else ""
                return HqpError(wrong.format(host=self.host.name, found=group), right, fix)
        reason = said.errors[-1] if said.errors else error.wrong
        rerun = command(self.path, "--help")
        return HqpError(f"trtexec failed on {self.host.name}: {reason}", "what its log asks for", f"there, {rerun}")


@functools.cache
def tool_on(host: Host) -> Tool:
    """The ``trtexec`` of a host, asked once.

    Raises:
        HqpError: there is none, or it is not NVIDIA's.
    """
    try:
        path = host.run(("sh", "-c", LOOK)).stdout.strip()
    except CommandFailed:
        wrong = f"there is no trtexec on {host.name}: neither on PATH nor in /usr/src/tensorrt/bin"
        raise HqpError(wrong, "TensorRT's tools", "sudo apt install libnvinfer-bin, or TRTEXEC=PATH") from None
    told = host.run((path, "--help"), timeout_s=HELP_S).stdout
    version = log.read(told).version
    if not version:
        # One that greets with its help alone names its version where it is given work, and nothing to work on fails.
        version = _version_when_failing(host, path)
    return Tool(host, path, version, Options.of_help(told))


def _version_when_failing(host: Host, path: str) -> str:
    try:
        text = host.run((path, "--loadEngine=/dev/null"), timeout_s=HELP_S).stdout
    except CommandFailed as error:
        text = error.stdout
    version = log.read(text).version
    if not version:
        raise HqpError(f"{path} on {host.name} does not tell its version", "NVIDIA's trtexec", "TRTEXEC=PATH")
    return version


class Folder:
    """A folder on a host for as long as this process lives."""

    def __init__(self, host: Host) -> None:
        self.host, self.path = host, f"/tmp/hqp-board-{secrets.token_hex(6)}"
        self._kept: set[str] = set()
        host.run(("sh", "-c", SET_UP, "sh", self.path))
        weakref.finalize(self, _remove, host, self.path)

    def keep(self, local: Path) -> str:
        """The path of a file there, by its digest: it is sent once, and stays as long as this process lives."""
        name = f"{sha256_of(local)[:16]}{local.suffix}"
        path = f"{self.path}/{name}"
        return path if path in self._kept else self.send(local, name)

    def send(self, local: Path, name: str) -> str:
        """The path of a file there, which is sent in place of what has that name.

        Raises:
            HqpError: the disk there is full.
        """
        path = f"{self.path}/{name}"
        try:
            self.host.send(local, path)
        except CommandFailed as error:
            if "No space left" not in error.stderr:
                raise
            size = f"{local.stat().st_size / 1e6:.1f} MB"
            wrong = f"the disk of {self.host.name} is full: {name} of {size} does not fit"
            raise HqpError(wrong, "room under /tmp there") from None
        self._kept.add(path)
        return path

    def remove(self, *paths: str) -> None:
        """Removes files there that are no longer needed."""
        self._kept.difference_update(paths)
        self.host.run(("find", *paths, "-delete"))


@functools.cache
def folder_on(host: Host) -> Folder:
    """This process's folder on a host."""
    return Folder(host)


def _remove(host: Host, path: str) -> None:
    try:
        host.run(("find", path, "-delete"), timeout_s=HELP_S)
    except HqpError:
        # The board is gone; the next run on it sweeps.
        return
