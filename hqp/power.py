"""Power of a board, from the INA3221 monitors that Jetson modules carry, sampled on the host that it is measured on.

Two generations of the driver show them differently under ``/sys``. A trace holds the power with the clock of that
host, so that what ran there in the meantime can be laid beside it.
"""

from __future__ import annotations

import math
import re
import secrets
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from hqp import tegrastats
from hqp.errors import HqpError
from hqp.transport import Host

# The first two of JetPack 4; from JetPack 5 on a standard hardware monitor.
PATTERNS = (
    "/sys/bus/i2c/devices/*/iio:device*/rail_name_*",
    "/sys/bus/i2c/devices/*/iio:device*/in_power*_input",
    "/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_label",
    "/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/in*_input",
    "/sys/bus/i2c/drivers/ina3221/*/hwmon/hwmon*/curr*_input",
)
OLD_NAME = re.compile(r"^(.*/)rail_name_(\d+)$")
NEW_NAME = re.compile(r"^(.*/)in(\d+)_label$")
# A channel that is not connected, and one that the driver adds up itself.
NO_RAIL = ("NC", "")
# What a device declares that has no rail for the whole module: the sum of every one.
ALL = ("*",)
SUM = "sum of shunt voltages"


# Seconds between two samples; reading takes some more, and 10 a second are wanted at least.
INTERVAL_S = 0.08
LEAST_HZ = 10.0
# A recording that nobody ends, since the connection broke, ends by itself.
LONGEST_S = 300.0

# Prints the seconds since boot and the first line of each file, again and again, for as long as a file is there. Run by
# `sh`; in the loop it starts no process but `sleep`, since a Nano has four slow cores.
SAMPLE = """
while_there=$1; left=$2; interval=$3; shift 3
while [ -e "$while_there" ] && [ "$left" -gt 0 ]; do
  read -r line rest < /proc/uptime
  for file in "$@"; do
    value=
    read -r value < "$file"
    line="$line ${value:--}"
  done
  echo "$line"
  left=$((left - 1))
  sleep "$interval"
done
"""
# The same with a line of tegrastats, which ends when nobody reads it any more.
SAMPLE_TEGRASTATS = """
while_there=$1; left=$2; interval=$3
tegrastats --interval "$interval" | while [ -e "$while_there" ] && [ "$left" -gt 0 ] && read -r line; do
  read -r now rest < /proc/uptime
  echo "$now $line"
  left=$((left - 1))
done
"""
# One line of it, without waiting for it to end, which it never does.
ONE_LINE = "tegrastats --interval 100 | head -n 1"
# Prints the path and the text of every file that patterns name and that can be read, a line each.
SURVEY = """
IFS=
for pattern in "$@"; do
  for file in $pattern; do
    if [ -r "$file" ]; then printf '%s\\t' "$file"; tr '\\0\\n' '  ' < "$file"; echo; fi
  done
done
exit 0
"""


def sources(files: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """The files that give the power of each rail: one in mW, or one in mV and one in mA.

    ``files`` maps paths to texts.
    """
    found: dict[str, tuple[str, ...]] = {}
    for path, label in files.items():
        name = label.strip()
        if name in NO_RAIL or SUM in name:
            continue
        if old := OLD_NAME.match(path):
            wanted: tuple[str, ...] = (f"{old[1]}in_power{old[2]}_input",)
        elif new := NEW_NAME.match(path):
            wanted = (f"{new[1]}in{new[2]}_input", f"{new[1]}curr{new[2]}_input")
        else:
            continue
        if all(file in files for file in wanted):
            found[name] = wanted
    return dict(sorted(found.items()))


def power_mw(texts: tuple[str, ...]) -> float | None:
    """The power that the texts of one rail's files give, ``None`` where one of them is no number."""
    try:
        values = [int(text) for text in texts]
    except ValueError:
        return None
    return values[0] if len(values) == 1 else values[0] * values[1] / 1000


@dataclass(frozen=True)
class Trace:
    """Power over time: seconds since the host's boot, and the power of the module at each, in mW."""

    seconds: npt.NDArray[np.float64]
    power_mw: npt.NDArray[np.float64]

    def mean_mw(self, start_s: float, end_s: float) -> float | None:
        """The mean power between two moments, ``None`` where fewer samples lie there than ``LEAST_HZ`` asks for.

        The integral of the samples by the trapezoidal rule over the time between the first and the last of them.
        """
        inside = (self.seconds >= start_s) & (self.seconds <= end_s)
        times, power = self.seconds[inside], self.power_mw[inside]
        if len(times) < max(2.0, LEAST_HZ * (end_s - start_s)) or times[-1] <= times[0]:
            return None
        energy = float(np.sum((power[1:] + power[:-1]) / 2 * np.diff(times)))
        return energy / float(times[-1] - times[0])


def survey(host: Host, *patterns: str) -> dict[str, str]:
    """The text of every readable file that a pattern names there, by its path; line breaks are blanks."""
    told = host.run(("sh", "-c", SURVEY, "sh", *patterns)).stdout
    pairs = (line.partition("\t") for line in told.splitlines())
    return {path: text.strip() for path, tab, text in pairs if tab}


def uptime_s(host: Host) -> float:
    """Seconds since the boot of a host, the clock of its traces."""
    return float(host.read("/proc/uptime").split()[0])


@dataclass(frozen=True)
class Meter:
    """Records the power of a module with a script that prints, for as long as a file is there, a time and a reading.

    ``words`` are what the script is given after that file and how many readings it gives at most; ``power_mw`` is the
    module's power in the text of one reading, ``None`` where it does not tell.
    """

    host: Host
    script: str
    words: tuple[str, ...]
    power_mw: Callable[[str], float | None]

    def record(self, work: Callable[[], None]) -> Trace:
        """The trace of what is drawn while ``work`` runs.

        Raises:
            HqpError: a sensor gave no number, or the host cannot be reached.
        """
        going = f"/tmp/hqp-board-{secrets.token_hex(6)}"
        self.host.run(("touch", going))
        most = math.ceil(LONGEST_S / INTERVAL_S)
        command = ("sh", "-c", self.script, "sh", going, str(most), *self.words)
        with ThreadPoolExecutor(1) as pool:
            recording = pool.submit(self.host.run, command)
            try:
                work()
            finally:
                # Ends the recording there, whatever became of the work.
                self.host.run(("find", going, "-delete"))
            return self._trace(recording.result().stdout)

    def _trace(self, text: str) -> Trace:
        seconds, power = [], []
        for line in text.splitlines():
            time, _, reading = line.partition(" ")
            told = self.power_mw(reading)
            if told is None:
                raise HqpError(f"a power sensor of {self.host.name} gives no number: {line}", "one that can be read")
            seconds.append(float(time))
            power.append(told)
        return Trace(np.array(seconds), np.array(power))


def meter(host: Host, declared: tuple[str, ...]) -> Meter | None:
    """What records the power of a module on a host, ``None`` where the declared rails cannot be read there."""
    if not declared:
        return None
    known = sources(survey(host, *PATTERNS))
    wanted = _wanted(known, declared)
    if wanted:
        return sensor_meter(host, {rail: known[rail] for rail in wanted})
    # As in a container that does not see the sensors.
    try:
        line = host.run(("sh", "-c", ONE_LINE)).stdout
    except HqpError:
        return None
    rails = _wanted(tegrastats.read(line).rails_mw, declared)
    return tegrastats_meter(host, rails) if rails else None


def _wanted(known: Mapping[str, object], declared: tuple[str, ...]) -> tuple[str, ...]:
    """The rails to be added up, of those that are known; none where one of them is not."""
    wanted = tuple(known) if declared == ALL else declared
    return wanted if all(rail in known for rail in wanted) else ()


def sensor_meter(host: Host, rails: Mapping[str, tuple[str, ...]]) -> Meter:
    """A meter of the sensors themselves: the sum of ``rails``, each with its files."""
    files = tuple(file for paths in rails.values() for file in paths)
    counts = [len(paths) for paths in rails.values()]

    def sum_mw(reading: str) -> float | None:
        words = reading.split()
        if len(words) != len(files):
            return None
        ends = np.cumsum(counts).tolist()
        powers = [power_mw(tuple(words[end - count : end])) for end, count in zip(ends, counts, strict=True)]
        told = [power for power in powers if power is not None]
        return sum(told) if len(told) == len(powers) else None

    return Meter(host, SAMPLE, (f"{INTERVAL_S:g}", *files), sum_mw)


def tegrastats_meter(host: Host, rails: tuple[str, ...]) -> Meter:
    """A meter of what ``tegrastats`` prints of these rails."""

    def sum_mw(reading: str) -> float | None:
        told = tegrastats.read(reading).rails_mw
        return float(sum(told[rail] for rail in rails)) if all(rail in told for rail in rails) else None

    return Meter(host, SAMPLE_TEGRASTATS, (str(round(1000 * INTERVAL_S)),), sum_mw)
