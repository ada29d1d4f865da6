"""Jetson devices on a simulated board: recognised by their module, and measured in one state only."""

from __future__ import annotations

import time

import pytest

from hqp import catalog, power
from hqp.devices import jetson_nano
from hqp.devices._jetson import module as parts
from hqp.errors import HqpError
from hqp.records import Device
from hqp.run.plugins import Plugins
from hqp.transport import Host, Ssh

NANO = (
    "nvidia,p3450-0000\0nvidia,jetson-nano\0nvidia,tegra210\0",
    "# R32 (release), REVISION: 7.1, GCID: 2",
    "57000000.gpu",
)


@pytest.fixture
def nano(board, direct: Host) -> Host:
    """A simulated Nano that is ready to be measured."""
    board.be_a(*NANO)
    return direct


def test_a_board_tells_its_module_releases_and_state(nano: Host, board) -> None:
    board.program("tegrastats", "while :; do echo 'EMC_FREQ 3%@1600 GR3D_FREQ 5%@921'; done")
    assert jetson_nano.facts(nano) == {
        "module": "p3450-0000",
        "l4t": "32.7.1",
        "jetpack": "4.6.1",
        "cuda": "10.2",
        "power_mode": "MAXN",
        "gpu_mhz": "922",
        "memory_mhz": "1600",
    }
    assert jetson_nano.limit(nano) is None


def test_what_a_board_does_not_tell_is_absent(nano: Host, board) -> None:
    (board.root / "bin" / "dpkg-query").unlink()
    (board.root / "sys/class/devfreq/57000000.gpu/cur_freq").unlink()
    (board.root / "etc/nv_tegra_release").unlink()
    assert jetson_nano.facts(nano) == {"module": "p3450-0000", "power_mode": "MAXN"}


@pytest.mark.parametrize(
    ("mode", "least", "said"),
    [
        (
            "5W",
            921_600_000,
            "simulated-board is in power mode 5W, not MAXN; power mode MAXN with locked clocks, or HQP_POWER_MODE=NAME "
            "for another mode; try: ssh -t simulated-board 'sudo nvpmodel -m 0 && sudo jetson_clocks'",
        ),
        (
            "MAXN",
            76_800_000,
            "simulated-board has a GPU clock that is not locked (77 to 922 MHz); power mode MAXN with locked clocks, "
            "or HQP_POWER_MODE=NAME for another mode; try: ssh -t simulated-board 'sudo jetson_clocks'",
        ),
        (
            "5W",
            76_800_000,
            "simulated-board is in power mode 5W, not MAXN and has a GPU clock that is not locked (77 to 922 MHz); "
            "power mode MAXN with locked clocks, or HQP_POWER_MODE=NAME for another mode; try: ssh -t simulated-board "
            "'sudo nvpmodel -m 0 && sudo jetson_clocks'",
        ),
    ],
)
def test_a_board_that_is_not_steady_is_refused(nano: Host, board, mode: str, least: int, said: str) -> None:
    board.write("/mode", mode)
    board.clock(NANO[2], 76_800_000, least, 921_600_000)
    with pytest.raises(HqpError) as caught:
        jetson_nano.facts(nano)
    assert str(caught.value) == said
    assert not [line for line in board.commands() if "sudo" in line]


def test_another_power_mode_is_measured_where_it_is_named(nano: Host, board, monkeypatch: pytest.MonkeyPatch) -> None:
    board.write("/mode", "5W")
    monkeypatch.setenv("HQP_POWER_MODE", "5W")
    assert jetson_nano.facts(nano)["power_mode"] == "5W"
    monkeypatch.setenv("HQP_POWER_MODE", "50W")
    with pytest.raises(HqpError, match="HQP_POWER_MODE is 50W, which this board does not have; one of MAXN, 5W"):
        jetson_nano.facts(nano)


def test_a_user_who_may_not_ask_for_the_mode(nano: Host, board) -> None:
    board.program("nvpmodel", "echo 'NVPM ERROR: Permission denied' >&2; exit 1")
    with pytest.raises(HqpError, match="`nvpmodel -q` on simulated-board tells no power mode: NVPM ERROR: Permission"):
        jetson_nano.facts(nano)


@pytest.mark.parametrize(
    ("now", "least", "said"),
    [
        (460_800_000, 921_600_000, "the GPU lowered its clock to 461 of 922 MHz"),
        (460_800_000, 76_800_000, "the GPU's clock is not locked any more"),
    ],
)
def test_a_board_that_throttles_disturbs_the_block(nano: Host, board, now: int, least: int, said: str) -> None:
    board.clock(NANO[2], now, least, 921_600_000)
    assert jetson_nano.limit(nano) == said


@pytest.mark.parametrize(
    ("name", "compatible", "module"),
    [
        ("jetson_nano", "nvidia,p3449-0000-b00+p3448-0002-b00\0nvidia,tegra210\0", "p3448-0002"),
        ("jetson_tx2", "nvidia,p3509-0000+p3636-0001\0nvidia,tegra186\0", "p3636-0001"),
        ("jetson_xavier_nx", "nvidia,p3449-0000+p3668-0001\0nvidia,tegra194\0", "p3668-0001"),
        ("jetson_agx_xavier", "nvidia,p2972-0000\0nvidia,jetson-xavier\0nvidia,tegra194\0", "p2972-0000"),
        ("jetson_orin_nano", "nvidia,p3768-0000+p3767-0005-super\0nvidia,tegra234\0", "p3767-0005"),
        ("jetson_orin_nx", "nvidia,p3768-0000+p3767-0000\0nvidia,tegra234\0", "p3767-0000"),
        ("jetson_agx_orin", "nvidia,p3737-0000+p3701-0005\0nvidia,tegra234\0", "p3701-0005"),
        ("jetson_thor", "nvidia,p3971-0089+p3834-0008\0nvidia,tegra264\0", "p3834-0008"),
    ],
)
def test_a_module_belongs_to_one_kind_of_board(name: str, compatible: str, module: str) -> None:
    kinds = {other: catalog.load("devices", other) for other in catalog.names("devices") if other.startswith("jetson_")}
    found = {
        other.removesuffix("_dla"): parts.matching(compatible, kind.board.modules) for other, kind in kinds.items()
    }
    assert {other: number for other, number in found.items() if number} == {name: module}


def test_another_board_is_refused(nano: Host) -> None:
    said = (
        r"^simulated-board is no Jetson Thor: its device tree names p3450-0000; a module p3834-; try: hqp list devices$"
    )
    with pytest.raises(HqpError, match=said):
        catalog.load("devices", "jetson_thor").facts(nano)


def test_what_a_gpu_without_int8_runs_is_declared() -> None:
    without = {name for name in catalog.names("devices") if "int8" not in Plugins().device(name).precisions}
    assert without >= {"jetson_nano", "jetson_tx2", "jetson_xavier_nx_dla", "jetson_agx_orin_dla"}
    assert "int8" in Plugins().device("jetson_xavier_nx").precisions


def test_a_device_is_where_the_variable_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HQP_HOST", "user@nano")
    assert (Plugins().device("jetson_nano").host, Plugins().device("jetson_nano").runtime) == ("user@nano", "trtexec")
    assert Plugins().device("cpu_onnxruntime").host == ""


def test_a_meter_reads_the_rails_of_the_board(board) -> None:
    """Over SSH, as it is asked at a desk."""
    nano = Ssh(board.name)
    folder = "/sys/bus/i2c/devices/6-0040/iio:device0"
    board.write(f"{folder}/rail_name_0", "POM_5V_IN\n")
    board.write(f"{folder}/in_power0_input", "2500\n")
    meter = power.meter(nano, Device.rails)
    assert meter is None
    meter = power.meter(nano, jetson_nano.device.rails)
    assert meter is not None
    assert meter.words[1:] == (f"{folder}/in_power0_input",)
    trace = meter.record(lambda: None)
    assert set(trace.power_mw) <= {2500.0}
    assert board.left() == []


def test_a_meter_reads_tegrastats_where_no_sensor_is_seen(nano: Host, board) -> None:
    line = "RAM 330/3964MB EMC_FREQ 0% GR3D_FREQ 5% GPU@22.5C POM_5V_IN 933/933 POM_5V_GPU 0/0"
    # Its fifth line leaves a sign, for which the work waits.
    script = f"n=0; while echo '{line}'; do n=$((n + 1)); [ $n = 5 ] && touch $R/fifth; sleep 0.01; done"
    board.program("tegrastats", script)
    meter = power.meter(nano, jetson_nano.device.rails)
    assert meter is not None

    def work() -> None:
        while not (board.root / "fifth").exists():
            time.sleep(0.01)

    trace = meter.record(work)
    assert len(trace.power_mw) >= 3
    assert set(trace.power_mw) == {933.0}
    assert meter.power_mw(line) == 933.0
    assert meter.power_mw("POM_5V_GPU 0/0") is None
    assert power.meter(nano, ("VDD_IN",)) is None
    assert board.left() == []
