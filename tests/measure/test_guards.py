from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.measure import guards
from hqp.measure.guards import Guard, Reading, disturbance
from hqp.transport import HERE

CPU = "sys/devices/system/cpu/"
ZONE = "sys/class/thermal/thermal_zone"

MakeHost = Callable[..., Any]

START = Reading(wall_s=100.0, busy_s=5000.0, own_s=40.0, cores=2)


def after(others_s: float, *, wall_s: float = 10.0, own_s: float = 10.0, cores: int = 2) -> Reading:
    """A reading ``wall_s`` after START, in which this process used ``own_s`` and all others ``others_s``."""
    return Reading(100.0 + wall_s, 5000.0 + own_s + others_s, 40.0 + own_s, cores)


@pytest.mark.parametrize(
    ("others_s", "threads", "disturbed"),
    [
        (0.5, 1, False),  # background services of an idle machine
        (10.0, 1, False),  # one other busy process: it has a core of its own
        (10.9, 1, False),  # 10 s of spare core, 0.9 s lost: just below a tenth of a core
        (11.1, 1, True),  # 1.08 s lost of 10, after the ticks
        (15.0, 1, True),
        (1.0, 2, False),  # nothing to spare
        (1.1, 2, True),
        (1.1, 4, True),  # more threads than cores: still no negative spare
    ],
)
def test_load_counts_where_it_reaches_into_the_cores_that_are_measured(
    others_s: float, threads: int, disturbed: bool
) -> None:
    reason = disturbance(START, after(others_s), threads)
    assert (reason is not None) == disturbed
    assert reason is None or "other processes" in reason


def test_own_load_is_no_disturbance() -> None:
    assert disturbance(START, after(0.0, own_s=20.0), 2) is None


def test_a_tick_of_each_core_is_accounting_not_load() -> None:
    assert disturbance(START, after(0.025, wall_s=0.1, own_s=0.1), 2) is None
    assert disturbance(START, after(0.05, wall_s=0.1, own_s=0.1), 2) is not None


@pytest.mark.parametrize("wall_s", [0.0, -1.0])
def test_a_clock_that_does_not_go_on_disturbs(wall_s: float) -> None:
    assert disturbance(START, after(0.0, wall_s=wall_s), 1) == "the clock stood still or went backwards"


def test_lowered_clocks_count_only_where_they_were_lowered_meanwhile() -> None:
    hot_before = replace(START, throttlings=7)
    assert disturbance(hot_before, replace(after(0), throttlings=7), 1) is None
    assert disturbance(hot_before, replace(after(0), throttlings=8), 1) == "the processor lowered its clocks"


def test_a_limit_at_the_end_is_the_reason() -> None:
    assert disturbance(START, replace(after(0), limit="too hot"), 1) == "too hot"
    assert disturbance(replace(START, limit="too hot"), after(0), 1) is None


def test_a_guard_reads_before_and_after() -> None:
    readings = iter([START, after(15.0), START, after(0.0)])
    guard = Guard(threads=1, read=lambda: next(readings))
    assert guard()() == ({"others_share": 1.5, "waited_share": 0.0}, "other processes used the measured cores")
    assert guard()() == ({"others_share": 0.0, "waited_share": 0.0}, None)


def test_a_guard_that_does_not_judge_tells_the_state_alone() -> None:
    readings = iter([START, replace(after(15.0), told={"mhz": 1800.0})])
    guard = Guard(threads=1, read=lambda: next(readings), judges=False)
    assert guard()() == ({"others_share": 1.5, "waited_share": 0.0, "mhz": 1800.0}, None)


@pytest.mark.parametrize(("waited_s", "disturbed"), [(0.4, False), (0.6, True)])
def test_waiting_for_a_core_disturbs_however_idle_the_cores_are_told_to_be(waited_s: float, disturbed: bool) -> None:
    reason = disturbance(START, replace(after(0.0), waited_s=waited_s), 1)
    assert (reason is not None) == disturbed


def test_the_wait_is_read_in_nanoseconds_where_linux_counts_it(make_host: MakeHost) -> None:
    assert guards.waited_s(make_host({})) == 0.0
    assert guards.waited_s(make_host({"proc/self/schedstat": "76244000 2500000000 2\n"})) == 2.5


def test_the_other_half_of_a_physical_core_is_watched_too(make_host: MakeHost) -> None:
    siblings = {0: "0,4", 1: "1-2,5"}
    host = make_host({f"{CPU}cpu{core}/topology/thread_siblings_list": f"{told}\n" for core, told in siblings.items()})
    assert guards.with_siblings(host, [0]) == [0, 4]
    assert guards.with_siblings(host, [1, 3]) == [1, 2, 3, 5]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system holds no process to its cores")
def test_a_process_is_held_to_as_many_cores_as_it_has_threads() -> None:
    told = "import os; from hqp.measure import guards; guards.hold(1); print(len(os.sched_getaffinity(0)))"
    assert subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout == "1\n"
    told = told.replace("hold(1)", "hold(999)")
    held = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True).stdout
    assert int(held) == len(os.sched_getaffinity(0))


def test_counters_of_all_cores_are_added_and_absent_ones_are_zero(make_host: MakeHost) -> None:
    assert guards.throttlings(make_host({})) == 0
    counts = {f"{CPU}cpu{core}/thermal_throttle/core_throttle_count": f"{count}\n" for core, count in ((0, 2), (1, 3))}
    assert guards.throttlings(make_host({f"{CPU}online": "0-2", **counts})) == 5


@pytest.mark.parametrize(("flags", "limited"), [("0", False), ("50005", True), ("50000", False), ("8", True)])
def test_a_firmware_flag_counts_now_and_not_for_the_past(make_host: MakeHost, flags: str, limited: bool) -> None:
    assert guards.firmware_limit(make_host({})) is None
    host = make_host({"sys/devices/platform/soc/soc:firmware/get_throttled": f"{flags}\n"})
    assert (guards.firmware_limit(host) is not None) == limited


BOARD = {
    f"{CPU}online": "0-3\n",
    "proc/loadavg": "0.52 0.58 0.59 3/345 2310\n",
    f"{ZONE}0/type": "AO-therm\n",
    f"{ZONE}0/temp": "95000\n",
    f"{ZONE}0/trip_point_0_type": "critical\n",
    f"{ZONE}0/trip_point_0_temp": "90000\n",
    f"{ZONE}1/type": "CPU-therm\n",
    f"{ZONE}1/temp": "41500\n",
    f"{ZONE}1/trip_point_0_type": "active\n",
    f"{ZONE}1/trip_point_0_temp": "30000\n",
    f"{ZONE}1/trip_point_1_type": "critical\n",
    f"{ZONE}1/trip_point_1_temp": "97000\n",
}


def test_another_host_is_read_there_and_nothing_of_this_machine_is(
    make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_here() -> None:
        raise AssertionError("this machine was read")

    for name in ("Process", "cpu_times", "sensors_temperatures"):
        monkeypatch.setattr(guards.psutil, name, read_here, raising=False)
    reading = guards.reader(make_host(BOARD))()
    assert (reading.busy_s, reading.own_s, reading.cores, reading.runnable) == (None, None, 4, 2)
    assert (reading.throttlings, reading.limit) == (0, None)


def test_what_another_host_does_not_tell_is_not_judged(make_host: MakeHost) -> None:
    read = guards.reader(make_host({}))
    before, after = read(), read()
    assert (before.runnable, before.cores, before.limit) == (None, 0, None)
    assert disturbance(before, after, 1) is None


@pytest.mark.parametrize(
    ("load", "threads", "disturbed"),
    [("1/345", 4, False), ("2/345", 4, True), ("4/345", 1, False), ("5/345", 1, True)],
)
def test_others_that_wait_for_a_core_there_disturb_where_none_is_left(
    make_host: MakeHost, load: str, threads: int, disturbed: bool
) -> None:
    host = make_host({**BOARD, "proc/loadavg": f"9.5 9.5 9.5 {load} 2310\n"})
    assert (Guard(threads, guards.reader(host))()()[1] is not None) == disturbed


def test_the_heat_of_another_processor_is_judged_by_its_own_limit(make_host: MakeHost) -> None:
    read = guards.reader(make_host(BOARD))
    assert read().limit is None
    make_host({f"{ZONE}1/temp": "92000\n"})
    assert read().limit == "CPU-therm is at 92 °C, critical is 97 °C"
    for off in ("-256000", "no number", ""):
        make_host({f"{ZONE}1/temp": off})
        assert read().limit is None


def test_what_does_not_change_on_another_host_is_asked_once(make_host: MakeHost) -> None:
    host = make_host(BOARD)
    read = guards.reader(host)
    read()
    first = len(host.asked)
    read()
    again = host.asked[first:]
    assert f"/{ZONE}1/temp" in again
    assert not [path for path in again if path.endswith("type")]


def test_a_device_knows_what_else_limits_it(make_host: MakeHost) -> None:
    host = make_host(BOARD)
    assert guards.reader(host, lambda there: f"{there.name} is not locked")().limit == "user@board is not locked"
    assert guards.reader(host, lambda there: None)().limit is None


def test_heat_is_judged_at_the_processor_alone() -> None:
    def sensor(current: float, critical: float | None) -> SimpleNamespace:
        return SimpleNamespace(current=current, critical=critical)

    assert guards.heat_limit({}) is None
    assert guards.heat_limit({"coretemp": [sensor(60, 100), sensor(94, 100)]}) is None
    assert (
        guards.heat_limit({"coretemp": [sensor(60, 100), sensor(95, 100)]})
        == "coretemp is at 95 °C, critical is 100 °C"
    )
    assert guards.heat_limit({"cpu_thermal": [sensor(90, None)]}) is None
    assert guards.heat_limit({"nvme": [sensor(99, 80)]}) is None


def test_this_machine_can_be_read_and_its_numbers_only_grow() -> None:
    read = guards.reader(HERE)
    first, second = read(), read()
    assert second.wall_s > first.wall_s
    assert first.busy_s is not None and second.busy_s is not None and second.busy_s >= first.busy_s >= 0
    assert first.own_s is not None and second.own_s is not None and second.own_s >= first.own_s > 0
    assert first.cores == second.cores >= 1


def test_waiting_for_disks_is_not_busy_and_stolen_time_is() -> None:
    core = SimpleNamespace(
        user=1.0, nice=2.0, system=4.0, idle=100.0, iowait=50.0, irq=8.0, softirq=16.0, steal=32.0, guest=1.0
    )
    assert guards._busy_s(core) == 63.0
