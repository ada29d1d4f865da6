"""A fresh process that opens prepared files on a device and times blocks of them, asked over its pipe.

``python -m hqp.run.worker`` reads one ``Pair`` as a line of JSON, then one line for each block, ``reference`` or
``candidate``: which arm goes first. It answers each with one line of JSON. Nothing of the process that asks is in it:
neither torch, nor its memory, nor the threads that its libraries started.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from typing_extensions import Self

from hqp import transport
from hqp.errors import HqpError
from hqp.measure import block, guards
from hqp.records import Block
from hqp.run import limited
from hqp.run.plugins import Plugins, runs_here

REFERENCE, CANDIDATE = "reference", "candidate"


@dataclass(frozen=True)
class Pair:
    """What a worker times: two prepared files on a device, at least so many inferences of each in a block.

    Blocks in which the machine was disturbed are dropped, or, with ``keeps_disturbed``, samples like any other.
    """

    device: str
    reference: str
    candidate: str
    iterations: int = block.LEAST_ITERATIONS
    keeps_disturbed: bool = False


class Worker:
    """The process of one pair, as its parent sees it: started when entered, gone when left."""

    def __init__(self, pair: Pair, limit_s: float = limited.LIMIT_S, python: str = sys.executable) -> None:
        self._pair, self._limit_s, self._python = pair, limit_s, python
        self._process: subprocess.Popen[str] | None = None
        self._said: IO[str] | None = None

    def __enter__(self) -> Self:
        # What engines write while they work is read only where the process fails.
        self._said = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")
        self._process = subprocess.Popen(
            [self._python, "-m", "hqp.run.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            encoding="utf-8",
            bufsize=1,
        )
        self._ask(json.dumps(asdict(self._pair)))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None and self._said is not None
        self._process.kill()
        self._process.communicate()
        self._said.close()

    def block(self, reference_first: bool, /) -> Block | str:
        """The samples of one block, or why the machine was disturbed.

        Raises:
            HqpError: the runtime refused a file, took longer than the limit, or ended the process.
        """
        answer = self._answer(REFERENCE if reference_first else CANDIDATE)
        if "error" in answer:
            raise HqpError(*answer["error"])
        if "disturbed" in answer:
            return str(answer["disturbed"])
        return Block(tuple(answer["reference_ms"]), tuple(answer["candidate_ms"]), state=answer["state"])

    def _ask(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        try:
            self._process.stdin.write(line + "\n")
        except OSError:
            # It has ended: reading its answer says so, with its last words.
            return

    def _answer(self, line: str) -> dict[str, Any]:
        assert self._process is not None and self._process.stdout is not None
        self._ask(line)
        # A pipe has no time limit of its own: the process is ended, and with it the wait for its answer.
        watchdog = threading.Timer(self._limit_s, self._process.kill)
        watchdog.start()
        answer = self._process.stdout.readline()
        late = not watchdog.is_alive()
        watchdog.cancel()
        if answer:
            return dict(json.loads(answer))
        place = f"{self._pair.candidate} on {self._pair.device}"
        if late:
            raise limited.too_late(f"a block of {place}", self._limit_s)
        raise HqpError(f"the process that timed {place} ended: {self._last_words()}", fix="hqp doctor")

    def _last_words(self) -> str:
        assert self._process is not None and self._said is not None
        self._process.wait()
        self._said.seek(0)
        lines = [line.strip() for line in self._said if line.strip()]
        return lines[-1] if lines else f"it wrote nothing, and its exit code is {self._process.returncode}"


class Tool:
    """Stands for a process where each timing is one of its own: of a tool that is started anew for it."""

    def __init__(self, pair: Pair, limit_s: float = limited.LIMIT_S) -> None:
        self._pair, self._limit_s, self._plugins = pair, limit_s, Plugins()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *ended: object) -> None:
        """Nothing is open."""

    def block(self, reference_first: bool, /) -> Block | str:
        """The samples of one block, or why the machine was disturbed."""
        place = f"a block of {self._pair.candidate} on {self._pair.device}"
        return limited.within(self._limit_s, place, lambda: timed(self._pair, self._plugins, reference_first))


def launcher(pair: Pair) -> Callable[[], Worker | Tool]:
    """What starts the fresh processes of a pair."""
    plugins = Plugins()
    here = runs_here(plugins.runtime(plugins.device(pair.device)))
    return partial(Worker if here else Tool, pair, limited.limit_s())


def main() -> int:
    """The command of the fresh process: answers until its parent is gone."""
    answers = _own_pipe()
    pair = Pair(**json.loads(sys.stdin.readline()))
    # What is opened first imports the engine, which is to see the cores that it will have.
    plugins = Plugins()
    guards.hold(plugins.device(pair.device).threads)
    for line in sys.stdin:
        answers.write(json.dumps(_answer(pair, plugins, line.strip() == REFERENCE)) + "\n")
        answers.flush()
    return 0


def _answer(pair: Pair, plugins: Plugins, reference_first: bool) -> dict[str, Any]:
    try:
        found = timed(pair, plugins, reference_first)
    except HqpError as error:
        return {"error": [error.wrong, error.right, error.fix]}
    return {"disturbed": found} if isinstance(found, str) else asdict(found)


def _own_pipe() -> IO[str]:
    """Standard output for answers alone: what an engine prints goes to standard error."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    return answers


def timed(pair: Pair, plugins: Plugins, reference_first: bool) -> Block | str:
    """One block of a pair, timed by this process, or why the machine was disturbed."""
    device = plugins.device(pair.device)
    runtime = plugins.runtime(device)
    return block.timed(
        lambda: runtime.Session(Path(pair.reference), device),
        lambda: runtime.Session(Path(pair.candidate), device),
        reference_first=reference_first,
        watch=guard_of(plugins, pair.device, judges=not pair.keeps_disturbed),
        iterations=pair.iterations,
        warms_up=runs_here(runtime),
    )


def guard_of(plugins: Plugins, name: str, *, judges: bool = True) -> guards.Guard:
    """What watches the host of a device, and what else its plug-in knows to limit it, while it is measured."""
    device = plugins.device(name)
    read = guards.reader(transport.host(device.host), getattr(plugins.load("devices", name), "limit", None))
    return guards.Guard(device.threads, read, judges)


if __name__ == "__main__":
    sys.exit(main())
