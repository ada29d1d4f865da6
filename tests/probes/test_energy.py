"""Energy of one inference: a real recording of a constant sensor, beside work that takes as long as it says."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hqp import power
from hqp.probes import Target, energy
from hqp.records import Device, Policy
from hqp.transport import HERE

DEVICE = Device("onnxruntime", 1, ("fp32",), Policy(), "a board", rails=("VDD_IN",))


class Session:
    """Inferences of 10 ms each, as far as this machine keeps time."""

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *ended: object) -> None:
        """Nothing is open."""

    def time(self, iterations: int) -> list[float]:
        started = time.perf_counter()
        for _ in range(iterations):
            time.sleep(0.01)
        return [1000 * (time.perf_counter() - started) / iterations] * iterations


def target(**changes: Any) -> Target:
    whole = {"file": Path("model.onnx"), "device": DEVICE, "host": HERE, "runtime": ModuleType("none")}
    return Target(**{**whole, "in_process": True, "session": Session, **changes})


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc/uptime")
def test_energy_is_mean_power_times_latency(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sensor = tmp_path / "in_power0_input"
    sensor.write_text("2000\n")
    asked = []

    def meter(host: object, rails: tuple[str, ...]) -> power.Meter:
        asked.append((host, rails))
        return power.sensor_meter(HERE, {"VDD_IN": (str(sensor),)})

    monkeypatch.setattr(power, "meter", meter)
    # Windows of 10 s would make a test of half a minute.
    for module, name, value in ((energy, "WINDOW_S", 0.2), (energy, "LOAD_S", 1.0), (power, "INTERVAL_S", 0.01)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(power, "LEAST_HZ", 1.0)
    energies, powers = energy.measure(target())
    assert asked == [(HERE, ("VDD_IN",))]
    assert (energies.name, energies.unit, powers.name, powers.unit) == ("energy", "mJ", "power", "mW")
    assert powers.samples == pytest.approx([2000.0] * len(powers.samples))
    # At 2 W and a little more than 10 ms.
    assert len(energies.samples) == len(powers.samples) >= 1
    assert all(20 <= sample < 200 for sample in energies.samples)


def test_without_rails_there_is_no_metric() -> None:
    assert energy.measure(target(device=Device("onnxruntime", 1, ("fp32",), Policy(), "a board"))) == ()
