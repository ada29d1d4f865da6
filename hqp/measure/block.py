"""One block: a fresh pair of sessions, each warmed up until it is steady and timed in one piece.

An instance keeps a bias of its own (memory layout, up to 1.5%) for as long as it lives, so a block opens both anew.
Each arm runs as it does in deployment: alternating single inferences would have each arm evict the other's weights from
the caches. Drift is met by shortness, as both arms are timed within a fraction of a second.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from hqp.measure.guards import Watch
from hqp.records import Block

# An arm is timed for at least so long: of single milliseconds the sampling error is most of a block's variance.
LEAST_MS = 50.0
# Fewer have no median that an interruption leaves alone.
LEAST_ITERATIONS = 5

# A warm-up goes on in pieces of so many inferences or milliseconds, whichever is more ...
PIECE_ITERATIONS, PIECE_MS = 3, 5.0
# ... until two pieces in a row are no faster than the fastest before them, but for so much ...
STEADY_SHARE, STEADY_PIECES = 0.01, 2
# ... or for so long: what is not steady then will not be.
LONGEST_WARM_UP_MS = 2000.0


class Timed(Protocol):
    """An open session, as far as a block knows it."""

    def time(self, iterations: int, /) -> list[float]:
        """The times, in ms, of that many single inferences."""


Opener = Callable[[], AbstractContextManager[Timed]]


def timed(
    reference: Opener,
    candidate: Opener,
    *,
    reference_first: bool,
    watch: Watch,
    iterations: int = LEAST_ITERATIONS,
    warms_up: bool = True,
) -> Block | str:
    """The samples of one block, or why the machine was disturbed meanwhile.

    Each arm is timed for at least 50 ms and ``iterations`` inferences. Both sessions are opened before either is timed,
    so that neither is timed beside the other's opening. A tool that is started anew for each call of ``time`` warms up
    itself, and is not warmed up.
    """
    openers = (reference, candidate) if reference_first else (candidate, reference)
    with ExitStack() as stack:
        sessions = [stack.enter_context(opener()) for opener in openers]
        finish = watch()
        times = [_steady_times(session, iterations, warms_up) for session in sessions]
        state, reason = finish()
    reason = impossible(times) or reason
    if reason is not None:
        return reason
    reference_ms, candidate_ms = times if reference_first else times[::-1]
    return Block(tuple(reference_ms), tuple(candidate_ms), state=state)


def impossible(times: Iterable[Sequence[float]]) -> str | None:
    """Why these times in ms are none, or ``None``: an inference takes longer than 0 and ends."""
    for arm in times:
        for time_ms in arm:
            if not 0 < time_ms < math.inf:
                return f"the runtime told a time of {time_ms:g} ms"
    return None


def _steady_times(session: Timed, iterations: int, warms_up: bool) -> list[float]:
    """The times of a warm session."""
    times: list[float] = [] if warms_up else session.time(iterations)
    median_ms = statistics.median(times) if times else warm_up(session)
    while not impossible([times]) and (len(times) < iterations or sum(times) < LEAST_MS):
        missing_ms = LEAST_MS - sum(times)
        wanted = max(iterations - len(times), math.ceil(missing_ms / median_ms) if median_ms > 0 else 1, 1)
        times += session.time(wanted)
    return times


def warm_up(session: Timed) -> float:
    """Runs a session until it gets no faster, and gives the median time of the last piece, in ms."""
    fastest_ms, since, spent_ms = math.inf, 0, 0.0
    count = PIECE_ITERATIONS
    while True:
        piece = session.time(count)
        median_ms = statistics.median(piece)
        spent_ms += sum(piece)
        # A time that cannot be ends the warm-up: the block is judged by it.
        if impossible([piece]) or spent_ms > LONGEST_WARM_UP_MS:
            return median_ms
        since = since + 1 if median_ms > fastest_ms * (1 - STEADY_SHARE) else 0
        if since == STEADY_PIECES:
            return median_ms
        fastest_ms = min(fastest_ms, median_ms)
        count = max(PIECE_ITERATIONS, math.ceil(PIECE_MS / median_ms))
