"""What Linux tells of a machine in files, read on the host that is asked; what it does not tell is empty."""

from __future__ import annotations

import re

from hqp.errors import HqpError
from hqp.transport import Host, Unreachable

# One folder a core, and one each for the drivers of its clocks.
CORES = "/sys/devices/system/cpu"

# Long enough for a board that is far away, short enough that nothing waits for a command that hangs.
ASKED_S = 30.0


def text(host: Host, path: str) -> str:
    """A file's text, stripped; empty where there is none to read, as on another system."""
    try:
        return host.read(path).strip()
    except Unreachable:
        # That a board has gone is no answer.
        raise
    except HqpError:
        return ""


def asked(host: Host, *command: str) -> str:
    """What a command says there, stripped; empty where it is unknown or fails."""
    try:
        return host.run(command, timeout_s=ASKED_S).stdout.strip()
    except Unreachable:
        raise
    except HqpError:
        return ""


def cores(host: Host) -> tuple[int, ...]:
    """The numbers of the cores that are switched on."""
    return numbers(text(host, f"{CORES}/online"))


def usable_cores(host: Host) -> tuple[int, ...]:
    """The numbers of the cores that a process may run on which is started there as HQP starts one."""
    allowed = re.search(r"^Cpus_allowed_list:\s*(\S+)$", text(host, "/proc/self/status"), re.MULTILINE)
    return numbers(allowed[1]) if allowed else ()


def numbers(told: str) -> tuple[int, ...]:
    """The numbers of a list such as ``0-3,6``."""
    numbers: list[int] = []
    for part in told.split(","):
        first, _, last = part.partition("-")
        if first.isdecimal():
            numbers += range(int(first), int(last or first) + 1)
    return tuple(numbers)
