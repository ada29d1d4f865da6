"""What an engine does, within a time limit: one that hangs in its own code can be left behind, never interrupted.

It works in a thread of this process, which is a daemon: where it does not come back, the run goes on without it, and
ends without waiting for it. What this process asks of an engine is limited here, what a fresh process is asked in
worker.py and probe.py, which end that process.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, TimeoutError
from functools import partial
from types import TracebackType
from typing import TypeVar

from typing_extensions import Self

from hqp.errors import HqpError
from hqp.runtimes import Float32, RuntimeSession

Answer = TypeVar("Answer")

# Opening an engine and timing it take seconds even on a small board; beyond this something hangs.
LIMIT_S = 300.0
# Of a batch, so many images are one answer: 3 s for each is more than any board takes.
IMAGES = 100

# Who waits for something slower says so by it.
VARIABLE = "HQP_LIMIT_S"


def limit_s() -> float:
    """After how many seconds an answer counts as none.

    Raises:
        HqpError: what the environment says is no time.
    """
    given = os.environ.get(VARIABLE, "")
    try:
        seconds = float(given) if given else LIMIT_S
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < threading.TIMEOUT_MAX:
        raise HqpError(f"{VARIABLE} is {given}", "seconds above 0", f"{VARIABLE}={LIMIT_S:g}")
    return seconds


def too_late(what: str, limit_s: float) -> HqpError:
    """The error where no answer came within the limit."""
    more = f"{VARIABLE}={math.ceil(10 * limit_s)}, if it is only slow"
    return HqpError(f"{what} took longer than {limit_s:g} s", "a runtime that does not hang", more)


def within(limit_s: float, what: str, work: Callable[[], Answer]) -> Answer:
    """What ``work`` gives or raises.

    Raises:
        HqpError: ``what`` it does took longer than the limit; it goes on in its thread.
    """
    answer: Future[Answer] = Future()

    def answered() -> None:
        try:
            answer.set_result(work())
        except BaseException as error:  # whatever it is, who waits for the answer is to get it
            answer.set_exception(error)

    threading.Thread(target=answered, name=what, daemon=True).start()
    try:
        return answer.result(limit_s)
    except TimeoutError:
        # One that the work itself raised is its answer.
        if answer.done():
            raise
        raise too_late(what, limit_s) from None


class Limited:
    """A session whose every answer has the time limit; one that hangs is not closed, since it is still at work."""

    def __init__(self, session: RuntimeSession) -> None:
        self._session, self._limit_s = session, limit_s()
        self.file = session.file
        self._at_work = False

    def __enter__(self) -> Self:
        self._within(1, "opening", self._session.__enter__)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._at_work:
            self._within(1, "closing", partial(self._session.__exit__, kind, value, trace))

    def outputs(self, images: Float32) -> Float32:
        """The logits of a batch; see ``RuntimeSession``."""
        answers = math.ceil(len(images) / IMAGES)
        return self._within(answers, f"judging {len(images)} images with", partial(self._session.outputs, images))

    def time(self, iterations: int) -> list[float]:
        """The times, in ms, of single inferences; see ``RuntimeSession``."""
        return self._within(1, f"timing {iterations} inferences of", partial(self._session.time, iterations))

    def _within(self, answers: int, doing: str, work: Callable[[], Answer]) -> Answer:
        def ended() -> Answer:
            try:
                return work()
            finally:
                self._at_work = False

        self._at_work = True
        return within(answers * self._limit_s, f"{doing} {self.file} on {self._session.device.runtime}", ended)
