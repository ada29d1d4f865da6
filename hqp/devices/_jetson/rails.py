"""Power by rail from the INA3221 monitors of a board, as two generations of its driver show them under ``/sys``."""

from __future__ import annotations

import re
from collections.abc import Mapping

# JetPack 4 on the left; from JetPack 5 on a standard hardware monitor.
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


def total(rails: Mapping[str, float], declared: tuple[str, ...]) -> float | None:
    """The module's power from that of its rails: the sum of those declared for it, ``None`` where one is not told."""
    wanted = tuple(rails) if declared == ALL else declared
    if not wanted or any(rail not in rails for rail in wanted):
        return None
    return sum(rails[rail] for rail in wanted)
