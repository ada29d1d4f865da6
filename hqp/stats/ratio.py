"""The ratio of two latencies that were timed in paired blocks, spread over processes.

A process keeps a bias for life (where its memory lies, which core it is on), and all its blocks share it: of noise that
is as large between processes as between blocks, an interval over blocks misses on a side in 32 to 37% of runs where 5%
are promised. So each process counts once, by the median over its blocks, and the interval is one over processes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from hqp.records import Block, Estimate, PairedLatency
from hqp.stats import sequential


def slowdown(latency: PairedLatency) -> Estimate | None:
    """How many times the reference's time the candidate takes; ``None`` where processes are too few for an interval."""
    return _exponential(sequential.median(slowdowns(latency), latency.most_processes, latency.tail))


def speedup(latency: PairedLatency) -> Estimate | None:
    """How many times as fast as the reference the candidate is; ``None`` where processes are too few."""
    return _exponential(sequential.median(-slowdowns(latency), latency.most_processes, latency.tail))


def candidate_ms(latency: PairedLatency) -> Estimate | None:
    """The median time of one inference of the candidate, in ms; ``None`` where processes are too few."""
    return sequential.median(candidates_ms(latency), latency.most_processes, latency.tail)


def candidates_ms(latency: PairedLatency) -> npt.NDArray[np.float64]:
    """The median time of the candidate in each process, in ms, float64 of shape (processes,)."""
    return _by_process(latency, lambda block: float(np.median(block.candidate_ms)))


def candidate_samples_ms(latency: PairedLatency) -> list[list[float]]:
    """All times of the candidate, in ms, process by process."""
    samples: dict[int, list[float]] = {}
    for block in latency.blocks:
        samples.setdefault(block.process, []).extend(block.candidate_ms)
    return list(samples.values())


def slowdowns(latency: PairedLatency) -> npt.NDArray[np.float64]:
    """The natural logarithm of candidate / reference of each process, float64 of shape (processes,).

    A block's is that of the ratio of its two medians, in which drift cancels; a process's is the median over its
    blocks, in half of which the reference went first: what being first costs cancels, too.
    """
    return _by_process(latency, _slowdown)


def _slowdown(block: Block) -> float:
    return float(np.log(np.median(block.candidate_ms) / np.median(block.reference_ms)))


def _by_process(latency: PairedLatency, of_block: Callable[[Block], float]) -> npt.NDArray[np.float64]:
    """The median of a block's number over the blocks of each process, in the order of the processes."""
    numbers: dict[int, list[float]] = {}
    for block in latency.blocks:
        numbers.setdefault(block.process, []).append(of_block(block))
    return np.array([np.median(of_process) for of_process in numbers.values()], dtype=np.float64)


def _exponential(estimate: Estimate | None) -> Estimate | None:
    if estimate is None:
        return None
    value, lower, upper = np.exp([estimate.value, estimate.lower, estimate.upper]).tolist()
    return Estimate(value, lower, upper, estimate.confidence)
