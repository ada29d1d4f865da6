"""Whether an upgrade of a runtime is slower: files timed in another Python environment beside this one.

Each process of the measurement is a pair, one in either environment, and their blocks of the same file are interleaved:
the other environment's runtime is the reference, and this one's the candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from typing_extensions import Self

import hqp
from hqp import transport
from hqp.errors import HqpError, command
from hqp.measure import sampler
from hqp.measure.stopping import Stopping, is_narrow
from hqp.records import Artifact, Block, Case, Estimate, Outcome, PairedLatency
from hqp.run.context import Context
from hqp.run.inputs import artifacts
from hqp.run.measuring import Protocol
from hqp.run.worker import Pair, Worker
from hqp.stats import noninferiority, ratio
from hqp.store import Store

# Importing HQP and asking a runtime for its version takes seconds on a small board.
ASK_S = 120.0
ASK = """
import sys
import hqp
from hqp import catalog
from hqp.transport import HERE
print(hqp.__version__, catalog.load("runtimes", sys.argv[1]).version(HERE))
"""


@dataclass(frozen=True)
class Upgrade:
    """What a file's time is here, over that in another environment: the samples, and whether it is within the margin.

    ``old`` and ``new`` are the versions of the runtime there and here.
    """

    case: Case
    old: str
    new: str
    latency: PairedLatency
    slowdown: Estimate | None
    outcome: Outcome
    reason: str


@dataclass(frozen=True)
class Runtimes:
    """The interpreter of the other environment, and the version of the runtime there and here."""

    python: str
    old: str
    new: str


class Beside:
    """A process in either environment, whose blocks of one file are taken in turn."""

    def __init__(self, old: Worker, new: Worker) -> None:
        self._old, self._new, self._stack = old, new, ExitStack()

    def __enter__(self) -> Self:
        for worker in (self._old, self._new):
            self._stack.enter_context(worker)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def block(self, reference_first: bool, /) -> Block | str:
        """The samples of one block of each, or why the machine was disturbed."""
        turns = (self._old, self._new) if reference_first else (self._new, self._old)
        timed = {}
        for worker in turns:
            block = worker.block(reference_first)
            if isinstance(block, str):
                return block
            timed[worker] = block
        old, new = timed[self._old], timed[self._new]
        return Block(old.candidate_ms, new.candidate_ms, state=new.state)


def compare(paths: Sequence[Path], device: str, other: Path, margin: float) -> tuple[Upgrade, ...]:
    """The times of finished artefacts on a device, here over in the environment in the folder ``other``.

    Raises:
        HqpError: that is no environment, it has another HQP, or the device's runtime does not run in this process.
    """
    context = Context(Store(Path(".hqp")))
    declared = context.plugins.device(device)
    runtime = context.plugins.runtime(declared)
    if hasattr(runtime, "prepare"):
        wrong = f"the runtime {declared.runtime} builds files of its own version, which another does not open"
        raise HqpError(wrong, "a device whose runtime opens ONNX", "hqp list devices")
    python = _python(other)
    old = _version(python, other, declared.runtime)
    versions = Runtimes(python, f"{declared.runtime} {old}", f"{declared.runtime} {runtime.version(transport.HERE)}")
    made = [artifacts.read(path) for path in paths]
    return tuple(_compared(context, one, device, versions, margin) for one in made)


def _python(other: Path) -> str:
    """The interpreter of an environment."""
    for name in ("bin/python", "Scripts/python.exe"):
        if (other / name).exists():
            return str(other / name)
    wrong = f"{other} is no Python environment"
    raise HqpError(wrong, "a folder with bin/python", command("python", "-m", "venv", other))


def _version(python: str, other: Path, runtime: str) -> str:
    told = transport.run([python, "-c", ASK, runtime], timeout_s=ASK_S).stdout.split(maxsplit=1)
    if told[0] != hqp.__version__:
        fix = command(python, "-m", "pip", "install", f"hqp=={hqp.__version__}")
        raise HqpError(f"{other} has HQP {told[0]}", f"{hqp.__version__}, so that the runtime alone differs", fix)
    return told[1].strip()


def _compared(context: Context, made: Artifact, device: str, runtimes: Runtimes, margin: float) -> Upgrade:
    sidecar, file = made.sidecar, Path(made.path) / artifacts.MODEL
    case = Case(sidecar.network.name, sidecar.settings.method, device)
    # Both arms of either process are the same file; the second one's times are taken.
    pair = Pair(device, str(file), str(file))
    stopping = Stopping(Protocol().processes, Protocol().tail, is_narrow)
    with context.progress.track(f"{case} in two environments", stopping.last) as advance:
        latency = sampler.sample(
            lambda: Beside(Worker(pair, python=runtimes.python), Worker(pair)),
            stopping,
            reference_sha256=sidecar.file.sha256,
            advance=advance,
        )
    slowdown = ratio.slowdown(latency)
    outcome, reason = _verdict(slowdown, margin, len(latency.disturbed))
    told = f"{reason} (there {runtimes.old}, here {runtimes.new})"
    return Upgrade(case, runtimes.old, runtimes.new, latency, slowdown, outcome, told)


def _verdict(slowdown: Estimate | None, margin: float, disturbed: int) -> tuple[Outcome, str]:
    if slowdown is None:
        return "inconclusive", f"too few undisturbed processes to bound a ratio, {disturbed} blocks were disturbed"
    outcome = noninferiority.at_most(slowdown, 1 + margin)
    said = {"pass": "is within", "fail": "is above", "inconclusive": "may be above or within"}[outcome]
    bounds = f"{100 * slowdown.confidence:.4g}% interval {slowdown.lower:.3f} to {slowdown.upper:.3f}"
    return outcome, f"{slowdown.value:.3f}x ({bounds}) the time in the other environment {said} {1 + margin:.3f}x"
