"""A GPU's power: the trace of what the driver tells, and nothing where no driver tells it."""

from __future__ import annotations

import ctypes
import threading
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from hqp import nvml, power
from hqp.errors import HqpError
from hqp.transport import HERE


def driver(code: int = 0) -> Any:
    """A driver that tells one mW more at each call, or fails with a code; ``thrice`` is set at the third."""
    told, thrice = iter(range(20_000, 30_000)), threading.Event()

    def power_usage(handle: Any, target: Any) -> int:
        target._obj.value = next(told)
        if target._obj.value == 20_002:
            thrice.set()
        return code

    return SimpleNamespace(nvmlDeviceGetPowerUsage=power_usage, thrice=thrice)


def test_a_trace_holds_what_the_driver_tells_while_work_is_done() -> None:
    library = driver()
    meter = nvml.Meter(library, ctypes.c_void_p())
    start_s = power.uptime_s(HERE)
    trace = meter.record(library.thrice.wait)
    assert trace.power_mw.tolist() == [20_000 + index for index in range(len(trace.power_mw))]
    assert len(trace.seconds) >= 3 and trace.seconds[0] >= start_s and (np.diff(trace.seconds) >= 0).all()


def test_a_driver_that_fails_is_one_line() -> None:
    with pytest.raises(HqpError, match=r"the GPU's driver gives no power \(NVML's code 3\)"):
        nvml.Meter(driver(3), ctypes.c_void_p()).now_mw()


def test_power_is_absent_where_nothing_measures_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "LIBRARY", "libnvidia-ml-that-is-not-there.so.1")
    assert nvml.meter(HERE, nvml.RAILS) is None
    assert nvml.meter(HERE, ("VDD_IN",)) is None
    assert power.meter(HERE, nvml.RAILS) is None
