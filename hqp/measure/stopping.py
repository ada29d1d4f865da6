"""When enough was measured: as soon as the verdict is clear, and at a cap otherwise."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hqp.records import PairedLatency
from hqp.stats import ratio, sequential

# Without a limit to decide about, a ratio is clear when it is known to so many percent on either side.
CLEAR_SHARE = 0.05


def is_narrow(latency: PairedLatency) -> bool:
    """Whether the ratio of the two arms is known well enough for a report."""
    estimate = ratio.speedup(latency)
    if estimate is None:
        return False
    return max(estimate.upper / estimate.value, estimate.value / estimate.lower) <= 1 + CLEAR_SHARE


@dataclass(frozen=True)
class Stopping:
    """Ends the measuring of a pair, after at most ``most`` processes.

    It asks ``is_clear`` only at the looks that were planned for ``most`` processes and ``tail``, the chance of a wrong
    bound on each side: looking in between would add false alarms. It knows no clock and opens nothing.
    """

    most: int
    tail: float
    is_clear: Callable[[PairedLatency], bool] = is_narrow

    @property
    def last(self) -> int:
        """The number of processes after which nothing more can be decided."""
        planned = sequential.looks(self.most, self.tail)
        return planned[-1].values if planned else self.most

    def ends(self, latency: PairedLatency) -> bool:
        """Whether no more processes are needed after those in ``latency``."""
        measured = latency.processes
        if measured >= self.last:
            return True
        is_look = any(look.values == measured for look in sequential.looks(self.most, self.tail))
        return is_look and self.is_clear(latency)
