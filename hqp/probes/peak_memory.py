"""Peak memory: how far a fresh process grows, at its highest, to open the artefact and run it once.

It means something only in a process that has done nothing else, since a peak never falls again.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import psutil

from hqp.probes import Session, Target
from hqp.records import Metric

fresh = True
requires = ()


def measure(target: Target) -> tuple[Metric, ...]:
    """One sample, in bytes; of an engine elsewhere only where its runtime tells it."""
    if not target.in_process:
        tells = getattr(target.runtime, "peak_memory_bytes", None)
        told = tells(target.file, target.device) if tells else None
        return (Metric("peak_memory", "bytes", (told,)),) if told else ()
    # It imports the engine, whose own code is no part of the model's memory.
    target.runtime.version(target.host)
    return (Metric("peak_memory", "bytes", (peak_bytes(target.session),)),)


def peak_bytes(opener: Callable[[], AbstractContextManager[Session]]) -> int:
    """By how many bytes resident memory grew, at its highest, while ``opener`` gave a session and it ran once.

    The engine must be imported before, or its own code is counted; what it loads late, such as kernels, is counted.
    """
    before = int(psutil.Process().memory_info().rss)
    with opener() as session:
        session.time(1)
        return peak_rss_bytes() - before


def peak_rss_bytes(status: Path = Path("/proc/self/status")) -> int:
    """The highest resident memory of this process since its start.

    On Linux it is read from ``status``, since ``ru_maxrss`` inherits the peak of the process that started this one.
    """
    if status.exists():
        found = re.search(r"^VmHWM:\s+(\d+) kB", status.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
        if found:
            return int(found[1]) * 1024
    if sys.platform == "win32":
        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
