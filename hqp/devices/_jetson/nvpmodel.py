"""Power modes as ``nvpmodel`` tells them: by name, since their numbers differ from board to board."""

from __future__ import annotations

import re

CURRENT = re.compile(r"^\s*NV Power Mode:\s*(\S+)\s*$", re.MULTILINE)
MODE = re.compile(r"POWER_MODEL: ID=(\d+) NAME=(\S+)")


def current(text: str) -> str:
    """The mode that ``nvpmodel -q`` tells; empty where it tells none. Warnings of it may come before."""
    found = CURRENT.search(text)
    return found[1] if found else ""


def modes(text: str) -> dict[str, int]:
    """The number of each mode of ``nvpmodel -p --verbose`` by its name."""
    return {name: int(number) for number, name in MODE.findall(text)}
