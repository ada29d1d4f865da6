"""Which Jetson module a device tree names: a carrier board changes every other name in it."""

from __future__ import annotations

import re

NUMBER = re.compile(r"p(\d{4})-(\d{4})")


def numbers(compatible: str) -> tuple[str, ...]:
    """All part numbers in ``/proc/device-tree/compatible``, carrier and module, in their order: ``p3668-0001``."""
    found = (f"p{part}-{variant}" for part, variant in NUMBER.findall(compatible))
    return tuple(dict.fromkeys(found))


def matching(compatible: str, modules: tuple[str, ...]) -> str:
    """The module number of a device tree that begins as one of ``modules`` does; empty where none does."""
    for number in numbers(compatible):
        if any(number.startswith(module) for module in modules):
            return number
    return ""
