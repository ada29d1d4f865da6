"""Where the promise of the gates on time ends: ``python -m hqp.run.studies.one_sided``.

The sign of a process is a fair coin's as long as noise hits either arm alike. Where something slows one arm alone down
in a share of the blocks, and it is no part of that arm, the interval is wrong on that side more often than in 5% of
runs. The first table says how much more: at most, by counting, where each hit decides its process; and by simulation,
of hits of 10% on average in blocks that scatter by 0.4% in processes that scatter by 0.35%, as an idle machine's do.

The second says why a process counts by the mean of its blocks' ratios and not by the ratio of each arm's fastest block,
which such hits harm less: where the blocks of one arm only scatter more, its fastest is faster, and nothing else is.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from hqp.measure.sampler import BLOCKS_PER_PROCESS
from hqp.records import MOST_PROCESSES, TAIL
from hqp.stats import sequential

Times = npt.NDArray[np.float64]
# The number of each process of two arms, whose logarithms of times are of shape (runs, processes, blocks).
Rule = Callable[[Times, Times], Times]

SHARES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
RUNS = 20_000
# Deviations of a process, of a block and of what both arms of a block share, and the mean of a hit: shares of the time.
PROCESS, BLOCK, DRIFT, HIT = 0.0035, 0.004, 0.015, 0.1
UNEVEN = 4

ENDS = ("one arm hit in", "wrong on that side, at most", "simulated", "a confirmed fail, at most")
RULES = ("wrong on either side", "mean of ratios", "ratio of fastest")


def ratios(reference: Times, candidate: Times) -> Times:
    """What the gates take: the mean of the blocks' logarithms of ratios, which of two is their median."""
    mean: Times = (candidate - reference).mean(axis=2)
    return mean


def fastest(reference: Times, candidate: Times) -> Times:
    """The logarithm of the ratio of each arm's fastest block."""
    return np.asarray(candidate.min(axis=2) - reference.min(axis=2))


def at_most(share: float) -> float:
    """How often a side is wrong where ``share`` of the blocks hit one arm by more than all other noise."""
    untouched = (1 - share) ** BLOCKS_PER_PROCESS
    above = untouched / 2 + (1 - untouched)
    return float(sequential.power(sequential.looks(MOST_PROCESSES, TAIL), above))


def simulated(share: float, rule: Rule = ratios, uneven: float = 1, runs: int = RUNS) -> tuple[float, float]:
    """How often the interval lies above and below the truth at some look, of so many runs.

    ``share`` of the candidate's blocks are hit; they scatter ``uneven`` times as much as the reference's.
    """
    draw = np.random.default_rng(0)
    shape = (runs, MOST_PROCESSES, BLOCKS_PER_PROCESS)
    shared = draw.normal(0, DRIFT, shape)
    reference = shared + draw.normal(0, BLOCK, shape)
    hits = np.where(draw.random(shape) < share, draw.exponential(HIT, shape), 0.0)
    bias = draw.normal(0, PROCESS, (*shape[:2], 1))
    candidate = shared + bias + draw.normal(0, BLOCK * uneven, shape) + hits
    processes = rule(reference, candidate)
    return wrong_above(processes), wrong_above(-processes)


def wrong_above(processes: Times) -> float:
    """The share of runs, of shape (runs, processes), in which at some look all of the interval is above 0."""
    wrong = np.zeros(len(processes), dtype=bool)
    for look in sequential.looks(MOST_PROCESSES, TAIL):
        above = np.count_nonzero(processes[:, : look.values] > 0, axis=1)
        wrong |= above >= look.beyond
    return float(wrong.mean())


def main() -> int:
    """Prints the tables, as Markdown."""
    rows = []
    for share in SHARES:
        most = at_most(share)
        rows.append((f"{share:.0%} of blocks", f"{most:.1%}", f"{simulated(share)[0]:.1%}", f"{most**2:.1%}"))
    print(_table(rows, ENDS))
    print()
    noises = {
        "both arms alike": (0.0, 1),
        "one arm hit in 10% of blocks": (0.1, 1),
        f"one arm's blocks scatter {UNEVEN} times as much": (0.0, UNEVEN),
    }
    compared = []
    for name, (share, uneven) in noises.items():
        wrong = [max(simulated(share, rule, uneven)) for rule in (ratios, fastest)]
        compared.append((name, *(f"{side:.1%}" for side in wrong)))
    print(_table(compared, RULES))
    return 0


def _table(rows: Sequence[Sequence[str]], headers: tuple[str, ...]) -> str:
    align = ["left"] + ["right"] * (len(headers) - 1)
    return str(tabulate(rows, headers, tablefmt="pipe", colalign=align, disable_numparse=True))


if __name__ == "__main__":
    sys.exit(main())
