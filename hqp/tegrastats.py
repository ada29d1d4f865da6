"""A line of ``tegrastats``: rails in mW, temperatures in °C, the GPU's load and clock.

Eight forms of it were seen, from JetPack 4 to 7.2; what a form does not tell is absent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

# Name, now, average since tegrastats began, and from JetPack 7.2 on a third number; JetPack 4 writes no unit.
# Memory has the form of a rail too, but for its unit.
RAIL = re.compile(r"(?<![\w@])([A-Z][A-Z0-9_]*) (\d+)(?:mW)?/\d+(?:mW)?(?:/\d+(?:mW)?)?(?=\s|$)")
TEMPERATURE = re.compile(r"(?<!\S)(\w+)@(-?\d+(?:\.\d+)?)C")
GPU = re.compile(r"(?<!\S)GR3D_FREQ (?:(\d+)%)?(?:@\[?(\d+(?:,\d+)*)\]?)?")
# Of a sensor that is switched off.
OFF_C = -256.0


@dataclass(frozen=True)
class Tegrastats:
    """One line: power by rail, temperature by sensor, the GPU's load (0 to 1) and the clock of each of its parts."""

    rails_mw: dict[str, int]
    temperatures_c: dict[str, float]
    gpu_load: float | None
    gpu_mhz: tuple[int, ...]


def read(line: str) -> Tegrastats:
    """What one line tells."""
    gpu = GPU.search(line)
    return Tegrastats(
        rails_mw={name: int(now) for name, now in RAIL.findall(line) if name != "NC"},
        temperatures_c={name: float(value) for name, value in TEMPERATURE.findall(line) if float(value) != OFF_C},
        gpu_load=int(gpu[1]) / 100 if gpu and gpu[1] else None,
        gpu_mhz=tuple(int(part) for part in gpu[2].split(",")) if gpu and gpu[2] else (),
    )
