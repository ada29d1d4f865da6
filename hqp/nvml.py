"""Power of this machine's first NVIDIA GPU, by the library that comes with its driver."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hqp import power
from hqp.errors import HqpError
from hqp.power import Trace
from hqp.transport import HERE, Host

# What a device declares in the place of a board's rails.
RAILS = ("NVML",)

LIBRARY = "libnvidia-ml.so.1"


@dataclass(frozen=True)
class Meter:
    """Records the power of the GPU that ``handle`` names."""

    library: ctypes.CDLL
    handle: ctypes.c_void_p

    def record(self, work: Callable[[], None]) -> Trace:
        """The trace of what is drawn while ``work`` runs, as often as the driver measures anew.

        Raises:
            HqpError: the driver gives no power.
        """
        seconds: list[float] = []
        power_mw: list[float] = []
        done = threading.Event()

        def sample() -> None:
            while not done.wait(power.INTERVAL_S):
                seconds.append(power.uptime_s(HERE))
                power_mw.append(self.now_mw())

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            work()
        finally:
            done.set()
            sampler.join()
        return Trace(np.array(seconds), np.array(power_mw))

    def now_mw(self) -> float:
        """The power that the driver gives now.

        Raises:
            HqpError: it gives none.
        """
        told = ctypes.c_uint()
        code = self.library.nvmlDeviceGetPowerUsage(self.handle, ctypes.byref(told))
        if code:
            raise HqpError(f"the GPU's driver gives no power (NVML's code {code})", "a GPU that measures it")
        return float(told.value)


def meter(host: Host, declared: tuple[str, ...]) -> Meter | None:
    """What records the power of this machine's GPU; ``None`` where another is asked for, or no driver measures it."""
    if declared != RAILS or host is not HERE:
        return None
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    handle = ctypes.c_void_p()
    if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(handle)):
        return None
    found = Meter(library, handle)
    try:
        found.now_mw()
    except HqpError:
        return None
    return found
