"""Latency of a candidate beside a reference, in blocks.

A block opens a fresh pair of sessions, since an instance keeps a bias of its own (memory layout, up to 1.5%) for as
long as it lives, and only many instances average that out. Within a block each arm is warmed up and timed in one piece,
as it runs in deployment: alternating single inferences would have each arm evict the other's weights from the caches.
Drift is met by shortness, as both arms are timed within a fraction of a second, and by drawing which arm goes first.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Protocol

from hqp.errors import HqpError
from hqp.records import Block, PairedLatency

# A machine that is always busy must still end: at most half as many blocks again as were asked for.
REPEATED_SHARE = 0.5


class Timed(Protocol):
    """An open session, as far as the sampler knows it."""

    def time(self, iterations: int, /) -> list[float]:
        """The times, in ms, of that many single inferences."""


Opener = Callable[[], AbstractContextManager[Timed]]

# Called before a block it starts watching the machine; what it returns is called after, and gives the reason why the
# block is disturbed, or None.
Guard = Callable[[], Callable[[], str | None]]


def sample(
    reference: Opener,
    candidate: Opener,
    *,
    reference_sha256: str,
    warmups: int = 10,
    rounds: int = 20,
    iterations: int = 5,
    seed: int = 0,
    guard: Guard | None = None,
    advance: Callable[[int], object] | None = None,
) -> PairedLatency:
    """Raw samples of ``rounds`` blocks of ``iterations`` in each arm, after ``warmups`` uncounted ones in each.

    A block in which the guard saw the machine disturbed, or a session told a time that cannot be, is dropped in both
    arms, its reason is kept, and it is repeated while the cap allows; so on a busy machine there are fewer blocks than
    rounds, or none, and the gates read inconclusive. ``advance(1)`` follows each one kept.

    Raises:
        HqpError: a count is below 1.
    """
    if min(rounds, iterations) < 1 or warmups < 0:
        raise HqpError(f"{rounds} rounds of {iterations} iterations after {warmups} warm-ups", "at least 1, 1 and 0")
    blocks: list[Block] = []
    disturbed: list[str] = []
    orders = _orders(seed)
    while len(blocks) < rounds and len(blocks) + len(disturbed) < rounds + int(rounds * REPEATED_SHARE):
        finish = guard() if guard else _undisturbed
        times = _times(reference, candidate, next(orders), warmups, iterations)
        reason = finish() or impossible(times)
        if reason is not None:
            disturbed.append(reason)
            continue
        blocks.append(Block(*times))
        if advance:
            advance(1)
    return PairedLatency(reference_sha256, tuple(blocks), tuple(disturbed))


def _undisturbed() -> None:
    return None


def _orders(seed: int) -> Iterator[bool]:
    """Whether the reference goes first, block by block: random, yet even over each two blocks."""
    draw = random.Random(seed)
    while True:
        first = draw.random() < 0.5
        yield first
        yield not first


def impossible(times: Iterable[Sequence[float]]) -> str | None:
    """Why these times in ms are none, or ``None``: an inference takes longer than 0 and ends."""
    for arm in times:
        for time_ms in arm:
            if not 0 < time_ms < math.inf:
                return f"the runtime told a time of {time_ms:g} ms"
    return None


def _times(
    reference: Opener, candidate: Opener, reference_first: bool, warmups: int, iterations: int
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The times of one block, in ms, of the reference and of the candidate.

    Both sessions are opened before either is timed, so that neither is timed beside the other's opening.
    """
    times: list[tuple[float, ...]] = []
    with ExitStack() as stack:
        openers = (reference, candidate) if reference_first else (candidate, reference)
        for session in [stack.enter_context(opener()) for opener in openers]:
            session.time(warmups)
            times.append(tuple(session.time(iterations)))
    first, second = times
    return (first, second) if reference_first else (second, first)
