"""Trials of the gate: each measures, confirms and judges as a suite does, and is kept with all that it measured."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from hqp import catalog, documents
from hqp.gates import BASELINE_LATENCY
from hqp.records import SCHEMA_VERSION, Artifact, Case, Digest, Measurement, Outcome, PairedLatency, Rerun
from hqp.run import measuring, timing
from hqp.run.context import Context
from hqp.run.inputs import artifacts
from hqp.run.judge import Bound
from hqp.run.measuring import Protocol
from hqp.run.selftest.slowdown import Slower
from hqp.suite import Gate

GATE = "latency_regression"
FOLDER = "selftest"


@dataclass(frozen=True)
class Trial:
    """One run of the gate on a file beside itself, or beside one that is slower by a share ``asked`` for.

    ``slower`` is the share that was measured when the slower file was made; ``busy`` processes ran beside it on
    purpose, and ``keeps_disturbed`` says that blocks which the guard would have dropped counted. ``seconds`` is what it
    all took, the confirmation and its control among it.
    """

    schema_version: int
    date: str
    device: str
    environment: str
    model_sha256: Digest
    margin: float
    asked: float
    slower: float
    busy: int
    keeps_disturbed: bool
    outcome: Outcome
    reason: str
    seconds: float
    latency: PairedLatency
    confirmation: PairedLatency | None
    control: PairedLatency | None


@dataclass(frozen=True)
class Subject:
    """The artefact that is timed beside itself and beside slower ones."""

    made: Artifact
    device: str

    @property
    def file(self) -> Path:
        """Its network."""
        return Path(self.made.path) / artifacts.MODEL

    @property
    def sha256(self) -> Digest:
        """What names it."""
        return self.made.sidecar.file.sha256


def trial(
    context: Context, subject: Subject, slowed: Slower, margin: float, protocol: Protocol, busy: int = 0
) -> Trial:
    """One trial: what the gate says where the artefact's baseline is the artefact itself."""
    began = time.perf_counter()
    bound = Bound(Gate(GATE, margin=margin), catalog.load("gates", GATE))
    untimed = _untimed(context, subject)
    reference = (subject.sha256, subject.file)

    def is_clear(latency: PairedLatency) -> bool:
        return timing.decides(bound, timing.with_times(untimed, BASELINE_LATENCY, latency))

    with _busy(busy):
        times = measuring.time_pair(context, subject.device, reference, slowed.file, protocol, "trial", is_clear)
        measured = timing.with_times(untimed, BASELINE_LATENCY, times)
        if timing.fails(bound, measured):
            measured = timing.confirmed(context, measured, bound, reference, slowed.file, protocol)
    verdict, rerun = bound.judge(measured).verdict, measured.baseline
    assert verdict is not None and rerun is not None
    return Trial(
        schema_version=SCHEMA_VERSION,
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M:%S UTC"),
        device=subject.device,
        environment=untimed.environment.digest,
        model_sha256=subject.sha256,
        margin=margin,
        asked=slowed.asked,
        slower=slowed.measured,
        busy=busy,
        keeps_disturbed=protocol.keeps_disturbed,
        outcome=verdict.outcome,
        reason=verdict.reason,
        seconds=round(time.perf_counter() - began, 2),
        latency=times,
        confirmation=rerun.confirmation,
        control=rerun.control,
    )


def _untimed(context: Context, subject: Subject) -> Measurement:
    """The artefact as a case whose baseline is itself; only its times are judged."""
    sidecar = subject.made.sidecar
    accuracy = sidecar.accuracy.shipped or sidecar.accuracy.fp32
    return Measurement(
        case=Case(sidecar.network.name, sidecar.settings.method, subject.device),
        sidecar=sidecar,
        environment=context.environment(subject.device),
        latency=PairedLatency(subject.sha256, ()),
        accuracy=accuracy,
        fp32_accuracy=None,
        fp32_bytes=sidecar.fp32_file.size_bytes,
        metrics=(),
        baseline=Rerun(subject.sha256),
    )


@contextmanager
def _busy(count: int) -> Iterator[None]:
    """While it lasts, so many other processes each use a core as much as they can."""
    with ExitStack() as stack:
        for _ in range(count):
            process = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(process.kill)
        yield


def keep(context: Context, done: Trial) -> Path:
    """Writes a trial beside those that were made before, and says where."""
    name = f"{time.time_ns()}.json"
    path = _folder(context) / f"{done.device}-{done.environment}" / name
    documents.write(path, done)
    return path


def kept(context: Context, subject: Subject, margin: float, keeps_disturbed: bool) -> tuple[Trial, ...]:
    """The trials of an artefact with a margin in this environment, in the order in which they were made."""
    wanted = (subject.sha256, margin, keeps_disturbed)
    environment = context.environment(subject.device).digest
    files = sorted((_folder(context) / f"{subject.device}-{environment}").glob("*.json"))
    read = [documents.read(file, Trial, fix=f"remove {file}") for file in files]
    return tuple(done for done in read if (done.model_sha256, done.margin, done.keeps_disturbed) == wanted)


def _folder(context: Context) -> Path:
    return context.store.root / FOLDER


def anew(protocol: Protocol, number: int) -> Protocol:
    """The protocol of the trial of that number: another order of the arms in each."""
    # A confirmation uses the seed after a trial's own.
    return replace(protocol, seed=2 * number)


def shares(percents: Sequence[float]) -> tuple[float, ...]:
    """Shares of percents, each once."""
    return tuple(dict.fromkeys(percent / 100 for percent in percents))
