"""Power by rail: what two generations of a driver show, and what is added up over time."""

from __future__ import annotations

import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from hqp import power
from hqp.errors import HqpError
from hqp.power import Trace
from hqp.probes import energy
from hqp.transport import HERE

ORIN = "/sys/bus/i2c/drivers/ina3221/1-0040/hwmon/hwmon4/"
NANO = "/sys/bus/i2c/devices/6-0040/iio:device0/"


def test_rails_of_jetpack_5_and_later() -> None:
    files = {
        f"{ORIN}in1_label": "VDD_IN",
        f"{ORIN}in1_input": "5000",
        f"{ORIN}curr1_input": "1500",
        f"{ORIN}in2_label": "NC",
        f"{ORIN}in2_input": "5000",
        f"{ORIN}curr2_input": "1",
        f"{ORIN}in3_label": "VDD_SOC",
        f"{ORIN}in7_label": "sum of shunt voltages",
        f"{ORIN}in7_input": "9",
    }
    found = power.sources(files)
    assert found == {"VDD_IN": (f"{ORIN}in1_input", f"{ORIN}curr1_input")}
    assert power.power_mw(tuple(files[path] for path in found["VDD_IN"])) == 7500.0


def test_rails_of_jetpack_4() -> None:
    files = {f"{NANO}rail_name_0": "POM_5V_IN", f"{NANO}in_power0_input": "2500", f"{NANO}rail_name_1": "POM_5V_GPU"}
    found = power.sources(files)
    assert found == {"POM_5V_IN": (f"{NANO}in_power0_input",)}
    assert power.power_mw(("2500",)) == 2500.0


def test_a_file_without_a_number_gives_no_power() -> None:
    assert power.power_mw(("5000", "")) is None


def test_a_survey_tells_of_what_is_there(tmp_path: Path) -> None:
    for name, text in (("a1", "one\0two\n"), ("a2", "3\n"), ("b", "no")):
        (tmp_path / name).write_text(text)
    found = power.survey(HERE, f"{tmp_path}/a*", f"{tmp_path}/none*")
    assert found == {f"{tmp_path}/a1": "one two", f"{tmp_path}/a2": "3"}


def test_the_mean_of_a_trace_is_its_integral_over_time() -> None:
    trace = Trace(np.linspace(0, 10, 201), np.linspace(1000, 3000, 201))
    assert trace.mean_mw(0, 10) == pytest.approx(2000)
    assert trace.mean_mw(5, 10) == pytest.approx(2500)


def test_too_few_samples_are_no_mean() -> None:
    trace = Trace(np.linspace(0, 10, 90), np.full(90, 1000.0))
    assert trace.mean_mw(0, 10) is None
    assert trace.mean_mw(20, 30) is None


def test_windows_lie_where_inferences_surely_ran() -> None:
    """Of 40 s in which they ran for 32 s, the first and the last 8 s may have been without."""
    times = np.arange(0, 40, 0.1)
    trace = Trace(times, np.where((times >= 8) & (times < 18), 5000.0, np.where(times < 32, 7000.0, 0.0)))
    assert energy.window_means_mw(trace, 0, 40, 32) == pytest.approx((5000, 7000), rel=0.01)


def test_inferences_that_ran_too_short_a_time_give_no_window() -> None:
    trace = Trace(np.arange(0, 40, 0.1), np.full(400, 5000.0))
    assert energy.window_means_mw(trace, 0, 40, 24) == ()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc/uptime")
def test_a_recording_lasts_as_long_as_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sensor counts up while the work waits for it: what is recorded is what was written in the meantime."""
    sensor = tmp_path / "in_power0_input"
    sensor.write_text("1500\n")
    monkeypatch.setattr(power, "INTERVAL_S", 0.01)
    meter = power.sensor_meter(HERE, {"VDD_IN": (str(sensor),)})
    trace = meter.record(lambda: threading.Event().wait(0.2))
    assert set(trace.power_mw) == {1500.0}
    assert (np.diff(trace.seconds) >= 0).all()
    assert len(trace.seconds) >= 2


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's /proc/uptime")
def test_a_sensor_without_a_number_is_an_error(tmp_path: Path) -> None:
    sensor = tmp_path / "in_power0_input"
    sensor.write_text("\n")
    with pytest.raises(HqpError, match=r"a power sensor of here gives no number: .* -"):
        power.sensor_meter(HERE, {"VDD_IN": (str(sensor),)}).record(lambda: threading.Event().wait(0.2))


def test_work_that_fails_ends_the_recording(tmp_path: Path) -> None:
    def fail() -> None:
        raise HqpError("the board is gone")

    with pytest.raises(HqpError, match="the board is gone"):
        power.sensor_meter(HERE, {}).record(fail)


@pytest.mark.parametrize("rails", [(), ("VDD_IN",)])
def test_without_its_rails_a_host_has_no_meter(rails: tuple[str, ...]) -> None:
    assert power.meter(HERE, rails) is None
