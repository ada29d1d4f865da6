"""Whether the machine was disturbed while a block was measured: other load, lowered clocks, heat.

Portable through psutil; what a system does not tell is not judged. The load that counts is what reached into the cores
that the measurement needs: on two cores and one thread, one other busy process is no disturbance, two are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# A quarter of a core lost costs a third more time. Background services of an idle machine stay below a tenth.
LOST_CORE_SHARE = 0.25

# Systems count processor time in ticks, one per core and reading; that much may be accounting alone.
TICK_S = 0.01

# Hardware lowers its clocks some degrees below the critical temperature at which it switches off.
HOT_MARGIN_C = 5.0

# Sensors of the processor, as their drivers are named; a disk at its limit slows no inference.
PROCESSOR_SENSORS = ("cpu", "core", "k10", "zen", "soc")

# Bits of a Raspberry Pi's firmware: under-voltage, clock capped, throttled, soft temperature limit, as of now.
FIRMWARE_LIMITED_NOW = 0xF

_DEVICES = Path("/sys/devices")


@dataclass(frozen=True)
class Reading:
    """The state of the machine at a moment; differences of two readings are judged.

    ``busy_s`` is processor time that all processes, and other guests of the host, have used on the ``cores`` which this
    process may use; ``own_s`` is this process's part. ``throttlings`` counts how often clocks were lowered, 0 where
    that is not told. ``limit`` names what limits the processor now, ``None`` where nothing does or nothing is told.
    """

    wall_s: float
    busy_s: float
    own_s: float
    cores: int
    throttlings: int = 0
    limit: str | None = None


@dataclass(frozen=True)
class Guard:
    """Watches the machine while ``threads`` of this process are measured.

    Call it before; what it returns is called after, and gives the reason why the machine was disturbed, or ``None``.
    """

    threads: int
    read: Callable[[], Reading] | None = None

    def __call__(self) -> Callable[[], str | None]:
        read = self.read or read_machine
        before = read()
        return lambda: disturbance(before, read(), self.threads)


def disturbance(before: Reading, after: Reading, threads: int) -> str | None:
    """Why numbers taken between two readings are not to be trusted, or ``None``."""
    wall = after.wall_s - before.wall_s
    if wall <= 0:
        return "the clock stood still or went backwards"
    others = (after.busy_s - before.busy_s) - (after.own_s - before.own_s) - after.cores * TICK_S
    spare = max(0, after.cores - threads)
    if others / wall - spare > LOST_CORE_SHARE:
        return "other processes used the measured cores"
    if after.throttlings > before.throttlings:
        return "the processor lowered its clocks"
    return after.limit


def read_machine() -> Reading:
    """The reading of this machine now, in a few milliseconds."""
    process = psutil.Process()
    usable = process.cpu_affinity() if hasattr(process, "cpu_affinity") else None
    times = psutil.cpu_times(percpu=True)
    mine = [times[core] for core in usable if core < len(times)] if usable else times
    return Reading(
        wall_s=time.perf_counter(),
        busy_s=sum(_busy_s(core) for core in mine),
        own_s=time.process_time(),
        cores=max(1, len(mine)),
        throttlings=throttlings(),
        limit=firmware_limit() or heat_limit(_temperatures()),
    )


def throttlings(devices: Path = _DEVICES) -> int:
    """How often the cores of this machine were slowed by heat since boot, where Linux counts it."""
    files = devices.glob("system/cpu/cpu[0-9]*/thermal_throttle/core_throttle_count")
    return sum(int(file.read_text()) for file in files)


def firmware_limit(devices: Path = _DEVICES) -> str | None:
    """What a Raspberry Pi's firmware says of its power and heat now, or ``None``."""
    file = devices / "platform" / "soc" / "soc:firmware" / "get_throttled"
    if file.exists() and int(file.read_text(), 16) & FIRMWARE_LIMITED_NOW:
        return "the firmware limits the processor (power supply or heat)"
    return None


def heat_limit(temperatures: Mapping[str, Sequence[Any]]) -> str | None:
    """The processor's first sensor at its limit, of readings as psutil gives them, or ``None``."""
    for name, sensors in temperatures.items():
        if any(word in name.lower() for word in PROCESSOR_SENSORS):
            for sensor in sensors:
                if sensor.critical and sensor.current >= sensor.critical - HOT_MARGIN_C:
                    return f"{name} is at {sensor.current:.0f} °C, critical is {sensor.critical:.0f} °C"
    return None


def _temperatures() -> Mapping[str, Sequence[Any]]:
    # Absent on macOS and Windows.
    read = getattr(psutil, "sensors_temperatures", None)
    return read() if read else {}


def _busy_s(core: Any) -> float:
    """Time in which a core was not idle; what other guests of the host stole counts, waiting for disks does not."""
    kinds = ("user", "nice", "system", "irq", "softirq", "steal")
    return float(sum(getattr(core, kind, 0.0) for kind in kinds))
