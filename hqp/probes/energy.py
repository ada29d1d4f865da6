"""Energy of one inference: the mean power of the module while inferences run one after the other, times their latency.

E = P·L. A module draws power when nothing runs on it too: that part is in it, as it is in what a battery gives. Sensors
average over times that their maker does not tell, so that no single inference is measured: only windows of 10 s.
"""

from __future__ import annotations

import math
import statistics

from hqp import nvml, power
from hqp.power import Trace
from hqp.probes import Target
from hqp.records import Metric

fresh = False
requires = ()

# What one sample of the metric is the mean over.
WINDOW_S = 10.0
# How long inferences run: three windows, less what a tool elsewhere takes to start and to end.
LOAD_S = 32.0
# Inferences from whose median the number for the load is found.
TRIED = 20


def measure(target: Target) -> tuple[Metric, ...]:
    """Samples of energy in mJ and of power in mW, one a window; none where the device declares no rails."""
    rails = target.device.rails
    meter = nvml.meter(target.host, rails) or power.meter(target.host, rails)
    if meter is None:
        return ()
    with target.session() as session:
        latency_ms = statistics.median(session.time(TRIED))
        count = math.ceil(1000 * LOAD_S / latency_ms)
        times_ms: list[float] = []
        moments = [power.uptime_s(target.host)]

        def work() -> None:
            times_ms.extend(session.time(count))
            moments.append(power.uptime_s(target.host))

        trace = meter.record(work)
    start_s, end_s = moments
    means_mw = window_means_mw(trace, start_s, end_s, sum(times_ms) / 1000)
    if not means_mw:
        return ()
    mean_ms = statistics.mean(times_ms)
    # mW times ms is µJ.
    energies_mj = tuple(mean_mw * mean_ms / 1000 for mean_mw in means_mw)
    return (Metric("energy", "mJ", energies_mj), Metric("power", "mW", means_mw))


def window_means_mw(trace: Trace, start_s: float, end_s: float, busy_s: float) -> tuple[float, ...]:
    """The mean power of each whole window in which inferences surely ran.

    They ran for ``busy_s`` in one piece somewhere between two moments. Wherever that piece lies, it covers what is left
    of the whole when ``busy_s`` is taken from either end.
    """
    first_s, last_s = end_s - busy_s, start_s + busy_s
    count = math.floor((last_s - first_s) / WINDOW_S)
    starts_s = [first_s + number * WINDOW_S for number in range(count)]
    means = [trace.mean_mw(window_s, window_s + WINDOW_S) for window_s in starts_s]
    return tuple(mean for mean in means if mean is not None)
