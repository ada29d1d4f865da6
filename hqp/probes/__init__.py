"""Probes: one file each, one kind of measurement.

A file defines

* ``measure(target: Target) -> tuple[Metric, ...]``: what it measures of an artefact on a device. Nothing where this
  device or runtime cannot tell: what could not be measured is absent, never zero;
* ``fresh``: whether it must run in a process that has done nothing else, where the engine runs in that process;
* ``requires``: the packages it needs; where one is missing nothing is measured, and the user is told.

The metrics of all probes stand in every measurement, so that reports and baselines show what a new probe measures. Time
is no probe: it is taken beside a reference, in blocks, by ``hqp.measure``.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Protocol

from hqp.records import Device
from hqp.transport import Host


class Session(Protocol):
    """An open session, as far as probes know it."""

    def time(self, iterations: int, /) -> list[float]:
        """The times, in ms, of that many single inferences."""


@dataclass(frozen=True)
class Target:
    """What is measured: a file on a device, which is on ``host``.

    ``file`` is what the plug-in ``runtime`` of the device opens, and ``session()`` a session of it, not opened yet.
    ``in_process``: the engine runs in the process that opens the session.
    """

    file: Path
    device: Device
    host: Host
    runtime: ModuleType
    in_process: bool
    session: Callable[[], AbstractContextManager[Session]]
