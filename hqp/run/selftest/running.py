"""``hqp selftest``: as many trials as there is time for, of every slow-down in turn, and what all of them add up to."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from hqp.errors import HqpError
from hqp.records import Artifact
from hqp.run import compress
from hqp.run.context import Context
from hqp.run.inputs import artifacts
from hqp.run.inputs.request import Request, resolve
from hqp.run.measuring import Protocol
from hqp.run.selftest import trials
from hqp.run.selftest.slowdown import Slower, slower
from hqp.run.selftest.summary import Summary, summary
from hqp.run.selftest.trials import Subject
from hqp.store import Store
from hqp.suite import Model

# What is tried where no artefact is named: the smallest network that HQP comes with, which takes about a millisecond.
MODEL, DATASET, METHOD = "mobilenet_v3_small", "signs", "q8"
PERCENTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0)


@dataclass(frozen=True)
class Asked:
    """What is tried: slow-downs in percent, ``runs`` of each and no trial begun after ``minutes``; 0 is no limit.

    ``busy`` processes use a core each beside the trials. Blocks in which the machine was disturbed are dropped, unless
    ``keeps_disturbed``.
    """

    device: str
    margin: float
    percents: Sequence[float] = PERCENTS
    runs: int = 1
    minutes: float = 0.0
    rounds: int = Protocol().rounds
    busy: int = 0
    keeps_disturbed: bool = False


def selftest(asked: Asked, artefact: Path | None = None, store: Path = Path(".hqp")) -> Summary:
    """The summary of these trials and all that were made before in this environment.

    Raises:
        HqpError: a number is out of range; the artefact is none; no layer gives a slow-down.
    """
    _require(asked)
    ends = time.monotonic() + 60 * asked.minutes if asked.minutes else float("inf")
    context = Context(Store(store))
    subject = Subject(artifacts.read(artefact) if artefact else _made(context, asked.device), asked.device)
    if asked.runs:
        slowed = [slower(context, asked.device, subject.file, share) for share in trials.shares(asked.percents)]
        _try_out(context, subject, asked, slowed, ends)
    done = trials.kept(context, subject, asked.margin, asked.keeps_disturbed)
    environment = context.environment(asked.device).digest
    return summary(asked.device, environment, subject.sha256, asked.margin, done)


def _try_out(context: Context, subject: Subject, asked: Asked, slowed: Sequence[Slower], ends: float) -> None:
    already = len(trials.kept(context, subject, asked.margin, asked.keeps_disturbed))
    protocol = Protocol(rounds=asked.rounds, keeps_disturbed=asked.keeps_disturbed)
    total = asked.runs * len(slowed)
    for number, each in enumerate(_in_turn(slowed, asked.runs, already), already):
        if time.monotonic() >= ends:
            return
        with context.progress.case(f"{100 * each.asked:g}% slower", number - already + 1, total):
            anew = trials.anew(protocol, number)
            trials.keep(context, trials.trial(context, subject, each, asked.margin, anew, asked.busy))


def _in_turn(slowed: Sequence[Slower], runs: int, seed: int) -> Iterator[Slower]:
    """Every slow-down once in each run, in random order, so that what goes on in time meets all of them."""
    draw = random.Random(seed)
    for _ in range(runs):
        yield from draw.sample(slowed, len(slowed))


def _made(context: Context, device: str) -> Artifact:
    asked = Request(Model(MODEL), DATASET, METHOD, device, delta_max_pp=1.5)
    return compress.artifact(context, resolve(asked, context.plugins))


def _require(asked: Asked) -> None:
    if not 0 < asked.margin < 1:
        raise HqpError(f"the margin is {asked.margin:g}", "a share above 0 and below 1", "--margin 0.02")
    if not asked.percents or min(asked.percents) < 0 or max(asked.percents) > 100:
        raise HqpError(f"slow-downs of {asked.percents} percent", "each from 0 to 100", "--percent 0 --percent 5")
