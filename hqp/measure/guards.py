"""Whether the machine was disturbed while a block was measured: other load, lowered clocks, heat, a clock that stood.

What is measured on another host is watched there, and nothing of this machine is. What a system does not tell is not
judged. A measured process is held to as many cores as it has threads, where the system can do that, and no other
process may use these, or the other half of a physical core. Where a process cannot be held, the load that counts is
what reached into the cores that it needs.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import psutil

from hqp.measure.procfs import CORES, cores, numbers, text
from hqp.transport import HERE, Host

# A tenth of a core lost costs a tenth more time in one arm. Background services of an idle machine stay below.
LOST_CORE_SHARE = 0.1

# The share of the time in which a process may have been ready to run and waited: a median does not see that much.
WAITED_SHARE = 0.05

# To see which cores are idle takes a few ticks.
CHOOSING_S = 0.03

# Systems count processor time in ticks, one per core and reading; that much may be accounting alone.
TICK_S = 0.01

# Hardware lowers its clocks some degrees below the critical temperature at which it switches off.
HOT_MARGIN_C = 5.0

# Sensors of the processor, as their drivers are named; a disk at its limit slows no inference.
PROCESSOR_SENSORS = ("cpu", "core", "k10", "zen", "soc")

# Bits of a Raspberry Pi's firmware: under-voltage, clock capped, throttled, soft temperature limit, as of now.
FIRMWARE_LIMITED_NOW = 0xF

FIRMWARE = "/sys/devices/platform/soc/soc:firmware/get_throttled"
ZONES = "/sys/class/thermal/thermal_zone"
# Linux has at most 12 trip points a zone; boards have about ten zones.
MOST_ZONES, MOST_TRIPS = 64, 12

# Of the first thread: the time that it ran, the time that it waited for a core, in ns, and how often.
SCHEDULER = "/proc/self/schedstat"

# Called before a block it starts to watch the machine. What it returns is called after: the state that goes with the
# samples, and the reason why the block is disturbed, or None.
Watch = Callable[[], Callable[[], tuple[dict[str, float], "str | None"]]]


@dataclass(frozen=True)
class Reading:
    """The state of the machine at a moment; differences of two readings are judged.

    ``busy_s`` is processor time that all processes, and other guests of the host, have used on the ``cores`` which this
    process may use, and on the other halves of these; ``own_s`` is this process's part. ``waited_s`` is how long it was
    ready to run and waited for a core, 0 where that is not told. ``runnable`` counts the others that want a core at
    that moment, which is what a host tells on which the measured process starts and ends between two readings. Load
    that is not told is ``None``. ``throttlings`` counts how often clocks were lowered, 0 where that is not told.
    ``limit`` names what limits the processor now, ``None`` where nothing does or nothing is told. ``told`` is what else
    goes with samples: the processor's clock in ``mhz`` and its hottest sensor in ``celsius``, where they are told.
    """

    wall_s: float
    busy_s: float | None
    own_s: float | None
    cores: int
    throttlings: int = 0
    limit: str | None = None
    runnable: int | None = None
    waited_s: float = 0.0
    told: dict[str, float] = field(default_factory=dict)


Read = Callable[[], Reading]
# What limits a device now, or None.
Limit = Callable[[Host], "str | None"]


@dataclass(frozen=True)
class Guard:
    """Watches the machine while ``threads`` of this process are measured: a ``Watch`` that ``judges`` or just tells."""

    threads: int
    read: Read
    judges: bool = True

    def __call__(self) -> Callable[[], tuple[dict[str, float], str | None]]:
        before = self.read()

        def finish() -> tuple[dict[str, float], str | None]:
            after = self.read()
            reason = disturbance(before, after, self.threads) if self.judges else None
            return state(before, after), reason

        return finish


def state(before: Reading, after: Reading) -> dict[str, float]:
    """What goes with samples taken between two readings, shares of one core's time among it."""
    wall_s, others_s = after.wall_s - before.wall_s, _others_s(before, after)
    if wall_s <= 0 or others_s is None:
        return dict(after.told)
    shares = {
        "others_share": max(0.0, others_s) / wall_s,
        "waited_share": (after.waited_s - before.waited_s) / wall_s,
    }
    return {name: round(share, 4) for name, share in shares.items()} | after.told


def disturbance(before: Reading, after: Reading, threads: int) -> str | None:
    """Why numbers taken between two readings are not to be trusted, or ``None``."""
    wall = after.wall_s - before.wall_s
    if wall <= 0:
        return "the clock stood still or went backwards"
    if _others_reached_in(before, after, threads):
        return "other processes used the measured cores"
    if after.throttlings > before.throttlings:
        return "the processor lowered its clocks"
    return after.limit


def _others_reached_in(before: Reading, after: Reading, threads: int) -> bool:
    """Whether other processes used more than the cores that the measured threads leave."""
    spare = max(0, after.cores - threads)
    waiting = [reading.runnable for reading in (before, after) if reading.runnable is not None]
    if any(runnable > spare for runnable in waiting):
        return True
    wall_s, others_s = after.wall_s - before.wall_s, _others_s(before, after)
    if (after.waited_s - before.waited_s) / wall_s > WAITED_SHARE:
        return True
    return others_s is not None and (others_s - after.cores * TICK_S) / wall_s - spare > LOST_CORE_SHARE


def _others_s(before: Reading, after: Reading) -> float | None:
    """The processor time that others used on the watched cores; ``None`` where it is not told."""
    if before.busy_s is None or after.busy_s is None or before.own_s is None or after.own_s is None:
        return None
    return (after.busy_s - before.busy_s) - (after.own_s - before.own_s)


def hold(threads: int) -> None:
    """Holds this process to the ``threads`` cores that are idlest, where it can be held.

    On other systems than Linux and Windows, and where there are no more cores than threads, nothing is done.
    """
    process = psutil.Process()
    usable = process.cpu_affinity() if hasattr(process, "cpu_affinity") else None
    if usable is None or len(usable) <= threads:
        return
    before = psutil.cpu_times(percpu=True)
    time.sleep(CHOOSING_S)
    after = psutil.cpu_times(percpu=True)
    used = {core: _busy_s(after[core]) - _busy_s(before[core]) for core in usable if core < len(after)}
    # Of cores that are equally idle another one each time, so that no core's own bias is in all processes.
    turn = os.getpid()
    process.cpu_affinity(sorted(used, key=lambda core: (used[core], (core + turn) % len(usable)))[:threads])


def reader(host: Host, limit: Limit | None = None) -> Read:
    """What reads the state of a host; ``limit`` says what a device on it knows beside that."""
    read = read_machine if host is HERE else Remote(host)
    if limit is None:
        return read

    def read_with_limit() -> Reading:
        reading = read()
        return replace(reading, limit=limit(host) or reading.limit)

    return read_with_limit


def read_machine() -> Reading:
    """The reading of this machine now, in a few milliseconds."""
    process = psutil.Process()
    usable = process.cpu_affinity() if hasattr(process, "cpu_affinity") else None
    times = psutil.cpu_times(percpu=True)
    watched = [core for core in with_siblings(HERE, usable) if core < len(times)] if usable else range(len(times))
    temperatures = _temperatures()
    return Reading(
        wall_s=time.perf_counter(),
        busy_s=sum(_busy_s(times[core]) for core in watched),
        own_s=time.process_time(),
        cores=len(usable) if usable else len(times),
        throttlings=throttlings(HERE),
        limit=firmware_limit(HERE) or heat_limit(temperatures),
        waited_s=waited_s(HERE),
        told=_told(temperatures),
    )


def with_siblings(host: Host, of: Iterable[int]) -> list[int]:
    """The cores, and those that are the other half of one of them, which share all that computes."""
    files = [f"{CORES}/cpu{core}/topology/thread_siblings_list" for core in of]
    return sorted({*of, *(core for file in files for core in numbers(text(host, file)))})


def waited_s(host: Host) -> float:
    """How long this process's first thread was ready and waited for a core, in s, where Linux counts it."""
    told = text(host, SCHEDULER).split()
    return int(told[1]) / 1e9 if len(told) > 1 else 0.0


def _told(temperatures: Mapping[str, Sequence[Any]]) -> dict[str, float]:
    """The clock of the processor in MHz and its hottest sensor in °C."""
    told = {}
    # Absent on some systems, and None in some containers.
    frequency = psutil.cpu_freq() if hasattr(psutil, "cpu_freq") else None
    if frequency is not None and frequency.current:
        told["mhz"] = round(float(frequency.current), 1)
    sensors = [sensor.current for name in temperatures if _is_of_processor(name) for sensor in temperatures[name]]
    if sensors:
        told["celsius"] = float(max(sensors))
    return told


@dataclass(frozen=True)
class Sensor:
    """A temperature and the one at which the processor switches off, in °C, as psutil gives them."""

    current: float
    critical: float


class Remote:
    """Reads the state of another host that runs Linux; what does not change there is asked once."""

    def __init__(self, host: Host) -> None:
        self.host = host

    @cached_property
    def cores(self) -> int:
        """The number of its cores; 0 where it does not tell, and load is then not judged."""
        return len(cores(self.host))

    @cached_property
    def zones(self) -> dict[str, tuple[str, float]]:
        """The file, and the critical temperature in °C, of each of the processor's sensors that has one."""
        found: dict[str, tuple[str, float]] = {}
        # They are numbered without a gap.
        for number in range(MOST_ZONES):
            name = text(self.host, f"{ZONES}{number}/type")
            if not name:
                break
            critical = _critical_c(self.host, f"{ZONES}{number}") if _is_of_processor(name) else None
            if critical is not None:
                found[name] = (f"{ZONES}{number}/temp", critical)
        return found

    def __call__(self) -> Reading:
        told = text(self.host, "/proc/loadavg").split()
        # "2/345": of 345 tasks 2 run or want to; one of them is the one that reads.
        runnable = int(told[3].partition("/")[0]) - 1 if len(told) > 3 and self.cores else None
        return Reading(
            wall_s=time.perf_counter(),
            busy_s=None,
            own_s=None,
            cores=self.cores,
            throttlings=throttlings(self.host),
            limit=firmware_limit(self.host) or heat_limit(self._temperatures()),
            runnable=runnable,
        )

    def _temperatures(self) -> dict[str, list[Sensor]]:
        told = {name: _degrees_c(text(self.host, file)) for name, (file, _) in self.zones.items()}
        return {name: [Sensor(now, self.zones[name][1])] for name, now in told.items() if now is not None}


def _critical_c(host: Host, zone: str) -> float | None:
    """The temperature in °C at which a zone switches the machine off, or ``None``."""
    for number in range(MOST_TRIPS):
        kind = text(host, f"{zone}/trip_point_{number}_type")
        if kind == "critical":
            return _degrees_c(text(host, f"{zone}/trip_point_{number}_temp"))
        if not kind:
            break
    return None


def _degrees_c(told: str) -> float | None:
    """What a file of a zone says, in thousandths of a degree; a sensor that fails says nothing."""
    try:
        return int(told) / 1e3
    except ValueError:
        return None


def throttlings(host: Host) -> int:
    """How often the cores of a host were slowed by heat since boot, where Linux counts it."""
    files = (f"{CORES}/cpu{core}/thermal_throttle/core_throttle_count" for core in cores(host))
    return sum(int(text(host, file) or 0) for file in files)


def firmware_limit(host: Host) -> str | None:
    """What a Raspberry Pi's firmware says of its power and heat now, or ``None``."""
    if int(text(host, FIRMWARE) or "0", 16) & FIRMWARE_LIMITED_NOW:
        return "the firmware limits the processor (power supply or heat)"
    return None


def heat_limit(temperatures: Mapping[str, Sequence[Any]]) -> str | None:
    """The processor's first sensor at its limit, of readings as psutil gives them, or ``None``."""
    for name, sensors in temperatures.items():
        if _is_of_processor(name):
            for sensor in sensors:
                if sensor.critical and sensor.current >= sensor.critical - HOT_MARGIN_C:
                    return f"{name} is at {sensor.current:.0f} °C, critical is {sensor.critical:.0f} °C"
    return None


def _is_of_processor(name: str) -> bool:
    return any(word in name.lower() for word in PROCESSOR_SENSORS)


def _temperatures() -> Mapping[str, Sequence[Any]]:
    # Absent on macOS and Windows.
    read = getattr(psutil, "sensors_temperatures", None)
    return read() if read else {}


def _busy_s(core: Any) -> float:
    """Time in which a core was not idle; what other guests of the host stole counts, waiting for disks does not."""
    kinds = ("user", "nice", "system", "irq", "softirq", "steal")
    return float(sum(getattr(core, kind, 0.0) for kind in kinds))
