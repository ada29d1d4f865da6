"""A kind of Jetson board: how it is recognised, in which state it is measured, and what it says of that state."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from hqp.devices._jetson import module, nvpmodel, release
from hqp.errors import HqpError, command
from hqp.power import ONE_LINE, survey
from hqp.transport import HERE, CommandFailed, Host

COMPATIBLE, RELEASE = "/proc/device-tree/compatible", "/etc/nv_tegra_release"
# The GPU's clock as Nano, TX2, Xavier, Orin and Thor call it.
GPU_CLOCKS = (
    "/sys/class/devfreq/57000000.gpu/*_freq",
    "/sys/class/devfreq/17000000.*/*_freq",
    "/sys/class/devfreq/gpu-gpc-0/*_freq",
)
# Of packages whose versions nothing else tells.
PACKAGES = ("nvidia-l4t-core", "cuda-cudart-*")
CUDA = re.compile(r"^cuda-cudart-\d[\d-]*\s+(\d+\.\d+)", re.MULTILINE)

MEMORY_CLOCK = re.compile(r"EMC_FREQ \d+%@(\d+)")

ASKED_S = 30.0
# Names another power mode to measure in than the fastest.
MODE_VARIABLE = "HQP_POWER_MODE"


@dataclass(frozen=True)
class Clock:
    """A clock in Hz, and the limits between which it is governed: equal where it is locked."""

    now: int
    least: int
    most: int


@dataclass(frozen=True)
class Board:
    """A kind of board: its name, the beginnings of its module numbers, and the power modes it is measured in.

    Of ``modes`` the first that the board has is asked for; where it has none of them, whatever it is in is taken.
    """

    title: str
    modules: tuple[str, ...]
    modes: tuple[str, ...] = ("MAXN_SUPER", "MAXN")

    def facts(self, host: Host) -> dict[str, str]:
        """What identifies a board and its power state.

        Raises:
            HqpError: it is another board, or one whose times would not be the same twice: not in the power mode that it
                is measured in, or with clocks that are not locked. With the commands that set them.
        """
        files = survey(host, COMPATIBLE, RELEASE, *GPU_CLOCKS)
        compatible = files.get(COMPATIBLE, "")
        number = module.matching(compatible, self.modules)
        if not number:
            there = ", ".join(module.numbers(compatible)) or "no Jetson module"
            wrong = f"{host.name} is no {self.title}: its device tree names {there}"
            raise HqpError(wrong, f"a module {' or '.join(self.modules)}", "hqp list devices")
        packages = _asked(host, "dpkg-query", "-W", *PACKAGES)
        l4t = release.l4t(files.get(RELEASE, "")) or release.l4t(packages)
        mode, clock = _mode(host), gpu_clock(files)
        self._require_steady(host, mode, clock)
        cuda = CUDA.search(packages)
        memory = MEMORY_CLOCK.search(_asked(host, "sh", "-c", ONE_LINE))
        told = {
            "module": number,
            "l4t": l4t,
            "jetpack": release.jetpack(l4t),
            "cuda": cuda[1] if cuda else "",
            "power_mode": mode,
            "gpu_mhz": str(round(clock.most / 1e6)) if clock else "",
            # Told to root alone.
            "memory_mhz": memory[1] if memory else "",
        }
        return {key: value for key, value in told.items() if value}

    def recognises(self, host: Host) -> bool:
        """Whether a host is this kind of board, in whatever state."""
        return bool(module.matching(survey(host, COMPATIBLE).get(COMPATIBLE, ""), self.modules))

    def limit(self, host: Host) -> str | None:
        """What slows the GPU now: a clock below the one it is locked at."""
        clock = gpu_clock(survey(host, *GPU_CLOCKS))
        if clock is None or clock.least != clock.most:
            return "the GPU's clock is not locked any more" if clock else None
        if clock.now < clock.least:
            return f"the GPU lowered its clock to {clock.now / 1e6:.0f} of {clock.least / 1e6:.0f} MHz"
        return None

    def _require_steady(self, host: Host, mode: str, clock: Clock | None) -> None:
        modes = nvpmodel.modes(_asked(host, "nvpmodel", "-p", "--verbose"))
        wanted = self._wanted(modes, mode)
        faults = []
        if mode != wanted:
            faults.append(f"is in power mode {mode}, not {wanted}")
        if clock is not None and clock.least != clock.most:
            span = f"{clock.least / 1e6:.0f} to {clock.most / 1e6:.0f} MHz"
            faults.append(f"has a GPU clock that is not locked ({span})")
        if not faults:
            return
        # By number, which is what nvpmodel takes; the numbers differ from board to board.
        number = modes.get(wanted)
        words = [f"sudo nvpmodel -m {number}"] if mode != wanted and number is not None else []
        line = " && ".join([*words, "sudo jetson_clocks"])
        fix = line if host is HERE else command("ssh", "-t", host.name, line)
        right = f"power mode {wanted} with locked clocks, or {MODE_VARIABLE}=NAME for another mode"
        raise HqpError(f"{host.name} {' and '.join(faults)}", right, fix)

    def _wanted(self, modes: Mapping[str, int], mode: str) -> str:
        """The mode to measure in: the one that the user names, else the fastest; the present one if none is known."""
        named = os.environ.get(MODE_VARIABLE, "")
        if named and modes and named not in modes:
            raise HqpError(f"{MODE_VARIABLE} is {named}, which this board does not have", f"one of {', '.join(modes)}")
        return named or next((known for known in self.modes if known in modes), mode)


def gpu_clock(files: Mapping[str, str]) -> Clock | None:
    """The GPU's clock in files of ``GPU_CLOCKS``, ``None`` where it is not told."""
    by_name = {path.rpartition("/")[2]: text for path, text in files.items() if path.startswith("/sys/class/devfreq/")}
    try:
        return Clock(int(by_name["cur_freq"]), int(by_name["min_freq"]), int(by_name["max_freq"]))
    except (KeyError, ValueError):
        return None


def _mode(host: Host) -> str:
    text = _asked(host, "nvpmodel", "-q")
    mode = nvpmodel.current(text)
    if not mode:
        said = text.strip().splitlines()[-1] if text.strip() else "it says nothing"
        wrong = f"`nvpmodel -q` on {host.name} tells no power mode: {said}"
        raise HqpError(wrong, "a user who may ask it, on the board itself and in no container", "nvpmodel -q")
    return mode


def _asked(host: Host, *words: str) -> str:
    """What a command there says; one that fails says what it said until then, as dpkg-query does of what is absent."""
    try:
        return host.run(words, timeout_s=ASKED_S).stdout
    except CommandFailed as error:
        return error.stdout or error.stderr
    except HqpError:
        # There is no such program.
        return ""
