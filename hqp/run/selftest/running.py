"""``hqp selftest``: as many trials as there is time for, of every slow-down in turn, and what all of them add up to."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Iterator, Sequence
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
from hqp.run.selftest.slowdown import NotMade, Slower, slower
from hqp.run.selftest.summary import LeftOut, Summary, summary
from hqp.run.selftest.trials import Subject
from hqp.store import Store
from hqp.suite import Model

# What is tried where no artefact is named: the smallest network that HQP comes with, which takes about a millisecond.
MODEL, DATASET, METHOD = "mobilenet_v3_small", "signs", "q8"
PERCENTS = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0)
# About how many processes it takes to find a slow-down, and to try the gate once: by these the time left is told.
MAKING, TRIAL = 25.0, 15.0


@dataclass(frozen=True)
class Asked:
    """What is tried: slow-downs in percent, ``runs`` of each and no trial begun after ``minutes``; 0 is no limit.

    Where no ``percents`` are named they are the usual ones, and those that cannot be made here are left out. ``busy``
    processes use a core each beside the trials. Blocks in which the machine was disturbed are dropped, unless
    ``keeps_disturbed``.
    """

    device: str
    margin: float
    percents: Sequence[float] | None = None
    runs: int = 1
    minutes: float = 0.0
    rounds: int = Protocol().rounds
    busy: int = 0
    keeps_disturbed: bool = False


def selftest(asked: Asked, artefact: Path | None = None, store: Path = Path(".hqp")) -> Summary:
    """The summary of these trials and all that were made before in this environment.

    Raises:
        HqpError: a number is out of range; the artefact is none; no layer gives a slow-down that was named.
    """
    _require(asked)
    context = Context(Store(store))
    subject = Subject(artifacts.read(artefact) if artefact else _made(context, asked.device), asked.device)
    left_out = _try_out(context, subject, asked) if asked.runs else ()
    done = trials.kept(context, subject, asked.margin, asked.keeps_disturbed)
    environment = context.environment(asked.device).digest
    return summary(asked.device, environment, subject.sha256, asked.margin, done, left_out)


def _try_out(context: Context, subject: Subject, asked: Asked) -> tuple[LeftOut, ...]:
    """Makes what is asked for, as long as there is time, and gives the slow-downs that could not be made."""
    most_seconds = 60 * asked.minutes if asked.minutes else math.inf
    ends = time.monotonic() + most_seconds
    shares = trials.shares(PERCENTS if asked.percents is None else asked.percents)
    works = {_finding(share): MAKING for share in shares}
    works |= {_trial(share, number): TRIAL for share in shares for number in range(asked.runs)}
    with context.progress.whole(works, most_seconds) as begin:
        slowed, left_out = _slowed(context, subject, asked, shares, begin)
        _judge(context, subject, asked, slowed, begin, ends)
    return left_out


def _slowed(
    context: Context, subject: Subject, asked: Asked, shares: Sequence[float], begin: Callable[[str], None]
) -> tuple[list[Slower], tuple[LeftOut, ...]]:
    """The networks that are slower by these shares, and which of the usual ones cannot be made here."""
    slowed: list[Slower] = []
    left_out: list[LeftOut] = []
    for number, share in enumerate(shares, 1):
        begin(_finding(share))
        try:
            with context.progress.case(_finding(share), number, len(shares)):
                slowed.append(slower(context, asked.device, subject.file, share))
        except NotMade as absent:
            if asked.percents is not None:
                raise
            context.progress.say(f"left out: {absent.wrong}")
            left_out.append(LeftOut(round(100 * share, 6), round(100 * absent.nearest, 2)))
            for run in range(asked.runs):
                # Nothing is left to do in its trials.
                begin(_trial(share, run))
    return slowed, tuple(left_out)


def _judge(
    context: Context,
    subject: Subject,
    asked: Asked,
    slowed: Sequence[Slower],
    begin: Callable[[str], None],
    ends: float,
) -> None:
    """Trials of each network in turn, kept one by one, until ``ends`` on the monotonic clock."""
    already = len(trials.kept(context, subject, asked.margin, asked.keeps_disturbed))
    protocol = Protocol(rounds=asked.rounds, keeps_disturbed=asked.keeps_disturbed)
    for number, each in enumerate(_in_turn(slowed, asked.runs, already), 1):
        if time.monotonic() >= ends:
            return
        begin(_trial(each.asked, (number - 1) // len(slowed)))
        with context.progress.case(f"{100 * each.asked:g}% slower", number, asked.runs * len(slowed)):
            anew = trials.anew(protocol, already + number - 1)
            trials.keep(context, trials.trial(context, subject, each, asked.margin, anew, asked.busy))


def _finding(share: float) -> str:
    return f"finding what is {100 * share:g}% slower"


def _trial(share: float, run: int) -> str:
    return f"{100 * share:g}% slower, run {run}"


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
    percents = PERCENTS if asked.percents is None else asked.percents
    if not percents or min(percents) < 0 or max(percents) > 100:
        raise HqpError(f"slow-downs of {percents} percent", "each from 0 to 100", "--percent 0 --percent 5")
