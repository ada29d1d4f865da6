"""Latency of a candidate beside a reference, in blocks that are spread over fresh processes.

A process keeps a bias for life, so it is the unit: each gives a few blocks, in half of which the reference goes first.
How many processes there are, a stopping rule decides.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Protocol

from hqp.measure.stopping import Stopping
from hqp.records import Block, Digest, PairedLatency

# One of each order. Another process tells more than another block of the same.
BLOCKS_PER_PROCESS = 2

# A machine that is always busy must still end: at most half as many blocks again as were planned.
REPEATED_SHARE = 0.5


class Worker(Protocol):
    """A fresh process that times blocks, as far as the sampler knows it."""

    def block(self, reference_first: bool, /) -> Block | str:
        """The samples of one block, or why the machine was disturbed."""


Launch = Callable[[], AbstractContextManager[Worker]]


def sample(
    launch: Launch,
    stopping: Stopping,
    *,
    reference_sha256: Digest,
    seed: int = 0,
    advance: Callable[[int], object] | None = None,
) -> PairedLatency:
    """Raw samples of processes that ``launch`` starts, one after the other, until ``stopping`` ends it.

    A block in which the machine was disturbed is dropped in both arms, its reason is kept, and it is repeated while the
    cap allows; so on a busy machine there are fewer processes, or none, and the gates read inconclusive. ``advance(1)``
    follows each process kept.
    """
    latency = PairedLatency(reference_sha256, (), (), stopping.most, stopping.tail)
    repeats = int(stopping.last * BLOCKS_PER_PROCESS * REPEATED_SHARE)
    draw = random.Random(seed)
    for process in range(stopping.last):
        with launch() as worker:
            blocks, reasons = _blocks(worker, process, draw.random() < 0.5, repeats - len(latency.disturbed))
        latency = latency.with_process(blocks, reasons)
        if not blocks:
            return latency
        if advance:
            advance(1)
        if stopping.ends(latency):
            return latency
    return latency


def _blocks(
    worker: Worker, process: int, reference_first: bool, repeats: int
) -> tuple[tuple[Block, ...], tuple[str, ...]]:
    """The undisturbed blocks of one process, each order once, and what disturbed others; none where not all succeed."""
    blocks: list[Block] = []
    reasons: list[str] = []
    while len(blocks) < BLOCKS_PER_PROCESS:
        # The other way round each time, so that drift within a process cancels, too.
        order = reference_first if len(blocks) % 2 == 0 else not reference_first
        timed = worker.block(order)
        if isinstance(timed, Block):
            blocks.append(replace(timed, process=process))
            continue
        reasons.append(timed)
        if len(reasons) > repeats:
            return (), tuple(reasons)
    return tuple(blocks), tuple(reasons)
