"""What each operator that the runtime runs takes, by the runtime's own profiler, in a run that does nothing else.

The operators are those of the compiled network: what the runtime fuses has one name, and what it adds has one too.
Their sum exceeds the latency, since a profiler takes time of its own.
"""

from __future__ import annotations

from hqp.probes import Target
from hqp.records import Metric

fresh = False
requires = ()

# Enough for a median, in less time than one block of the latency takes.
ITERATIONS = 10


def measure(target: Target) -> tuple[Metric, ...]:
    """One metric an operator, in ms; nothing where the runtime has no profiler."""
    times = getattr(target.runtime, "operator_times", None)
    if times is None:
        return ()
    by_operator: dict[str, list[float]] = times(target.file, target.device, ITERATIONS)
    return tuple(Metric("operator_time", "ms", tuple(ms), of=operator) for operator, ms in by_operator.items())
