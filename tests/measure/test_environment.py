from __future__ import annotations

import json
import platform
import socket
from pathlib import Path

import pytest

from hqp.measure import PROTOCOL, environment
from hqp.records import Device, Policy

DEVICE = Device("openvino", 1, ("fp32",), Policy(), "a device")

X86 = """processor\t: 0
model name\t: Example CPU @ 2.00GHz
cpu family\t: 6
model\t\t: 143
stepping\t: 8
cpu MHz\t\t: 2000.123
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni avx_vnni amx_int8 amx_tile avx512_bf16 rdrand

processor\t: 1
model name\t: Example CPU @ 2.00GHz
cpu family\t: 6
model\t\t: 143
stepping\t: 8
cpu MHz\t\t: 1187.004
flags\t\t: fpu sse2 avx2 avx512f avx512_vnni avx_vnni amx_int8 amx_tile avx512_bf16 rdrand
"""

ARM = """processor\t: 0
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes asimdhp asimddp
CPU implementer\t: 0x41
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

processor\t: 1
Features\t: fp asimd evtstrm aes asimdhp asimddp
CPU implementer\t: 0x41
CPU variant\t: 0x4
CPU part\t: 0xd05
CPU revision\t: 1
Serial\t\t: 10000000deadbeef
"""


def host(root: Path, cpuinfo: str, **files: str) -> Path:
    for name, text in {"proc/cpuinfo": cpuinfo, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_an_x86_host_tells_its_processor_and_the_flags_that_kernels_are_chosen_by(tmp_path: Path) -> None:
    facts = environment.host_facts(host(tmp_path, X86))
    assert facts["cpu"] == "Example CPU @ 2.00GHz (cpu family 6 model 143 stepping 8)"
    assert facts["instructions"] == "amx_int8 amx_tile avx2 avx512_bf16 avx512_vnni avx512f avx_vnni"
    assert "governor" not in facts
    assert "quota" not in facts


def test_an_arm_board_tells_its_model_and_all_kinds_of_its_cores(tmp_path: Path) -> None:
    root = host(tmp_path, ARM, **{"sys/firmware/devicetree/base/model": "Example Board 5\0"})
    facts = environment.host_facts(root)
    assert facts["cpu"] == "Example Board 5 implementer 0x41 part 0xd05,0xd0b variant 0x4 revision 1"
    assert facts["instructions"] == "asimd asimddp asimdhp"
    assert "deadbeef" not in json.dumps(facts)


def test_power_state_and_limits_are_facts_where_the_system_tells_them(tmp_path: Path) -> None:
    policy = "sys/devices/system/cpu/cpufreq/policy{}/{}"
    root = host(
        tmp_path,
        X86,
        **{
            policy.format(0, "scaling_governor"): "performance\n",
            policy.format(4, "scaling_governor"): "powersave\n",
            policy.format(0, "scaling_max_freq"): "2400000\n",
            policy.format(4, "scaling_max_freq"): "1800000\n",
            "sys/devices/system/cpu/intel_pstate/no_turbo": "1\n",
            "sys/fs/cgroup/cpu.max": "150000 100000\n",
        },
    )
    facts = environment.host_facts(root)
    assert facts["governor"] == "performance,powersave"
    assert facts["max_khz"] == "1800000,2400000"
    assert facts["boost"] == "off"
    assert facts["quota"] == "1.50"


@pytest.mark.parametrize(("name", "text", "told"), [
    ("sys/devices/system/cpu/cpufreq/boost", "1", "on"),
    ("sys/devices/system/cpu/cpufreq/boost", "0", "off"),
    ("sys/devices/system/cpu/intel_pstate/no_turbo", "0", "on"),
])  # fmt: skip
def test_boost_is_told_by_either_driver(tmp_path: Path, name: str, text: str, told: str) -> None:
    assert environment.host_facts(host(tmp_path, X86, **{name: text}))["boost"] == told


def test_a_container_without_a_limit_has_no_quota(tmp_path: Path) -> None:
    assert "quota" not in environment.host_facts(host(tmp_path, X86, **{"sys/fs/cgroup/cpu.max": "max 100000\n"}))


def test_two_hosts_of_one_type_agree_though_their_clocks_differ(tmp_path: Path) -> None:
    mine = environment.host_facts(host(tmp_path / "a", X86))
    theirs = environment.host_facts(host(tmp_path / "b", X86.replace("1187.004", "2999.9")))
    assert mine == theirs


def test_the_environment_adds_runtime_threads_protocol_and_what_the_device_tells() -> None:
    made = environment.environment(DEVICE, {"power_mode": "15W"}, "1.2.3")
    assert made.facts["runtime"] == "openvino 1.2.3"
    assert made.facts["threads"] == "1"
    assert made.facts["protocol"] == PROTOCOL
    assert made.facts["power_mode"] == "15W"
    assert made.facts["architecture"] == platform.machine().lower()
    assert made == environment.environment(DEVICE, {"power_mode": "15W"}, "1.2.3")
    other = environment.environment(DEVICE, {"power_mode": "7W"}, "1.2.4")
    assert made.differences(other) == ["power_mode: 15W, 7W", "runtime: openvino 1.2.3, openvino 1.2.4"]


def test_neither_names_a_host_or_a_path() -> None:
    told = json.dumps([environment.environment(DEVICE, {}, "1").facts, environment.machine()])
    words = told.replace('"', " ").split()
    assert socket.gethostname() not in words
    assert "/" not in told


def test_the_machine_of_a_report_holds_what_its_numbers_rest_on() -> None:
    told = environment.machine()
    assert {"cpu", "cores", "memory", "system", "python", "hqp", "numpy"} <= told.keys()
    assert told["memory"].endswith(" GiB")
    assert all(told.values())
