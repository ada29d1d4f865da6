"""The bytes of the file that the runtime opens: the artefact's, or of what the device made of it."""

from __future__ import annotations

from hqp.probes import Target
from hqp.records import Metric

fresh = False
requires = ()


def measure(target: Target) -> tuple[Metric, ...]:
    """One exact sample, in bytes."""
    return (Metric("size", "bytes", (target.file.stat().st_size,)),)
