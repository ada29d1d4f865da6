from __future__ import annotations

import json
import platform
import socket
from collections.abc import Callable
from typing import Any

import pytest

from hqp.measure import PROTOCOL, environment
from hqp.records import Device, Policy
from hqp.transport import HERE, Here, Unreachable

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


CPU = "sys/devices/system/cpu/"

MakeHost = Callable[..., Any]


def test_an_x86_host_tells_its_processor_and_the_flags_that_kernels_are_chosen_by(make_host: MakeHost) -> None:
    facts = environment.host_facts(make_host({"proc/cpuinfo": X86}))
    assert facts["cpu"] == "Example CPU @ 2.00GHz (cpu family 6 model 143 stepping 8)"
    assert facts["instructions"] == "amx_int8 amx_tile avx2 avx512_bf16 avx512_vnni avx512f avx_vnni"
    assert "governor" not in facts
    assert "quota" not in facts


def test_an_arm_board_tells_its_model_and_all_kinds_of_its_cores(make_host: MakeHost) -> None:
    board = "sys/firmware/devicetree/base/model"
    facts = environment.host_facts(make_host({"proc/cpuinfo": ARM, board: "Example Board 5\0"}))
    assert facts["cpu"] == "Example Board 5 implementer 0x41 part 0xd05,0xd0b variant 0x4 revision 1"
    assert facts["instructions"] == "asimd asimddp asimdhp"
    assert "deadbeef" not in json.dumps(facts)


def test_an_arm_processor_is_told_by_its_part_since_many_share_a_model_name(make_host: MakeHost) -> None:
    named = ARM.replace("BogoMIPS", "model name\t: ARMv8 Processor rev 0 (v8l)\nBogoMIPS")
    assert environment.cpu_model(make_host({"proc/cpuinfo": named})).startswith("implementer 0x41 part 0xd05,0xd0b")


def test_power_state_and_limits_are_facts_where_the_system_tells_them(make_host: MakeHost) -> None:
    files = {
        "proc/cpuinfo": X86,
        f"{CPU}online": "0-1,4\n",
        f"{CPU}cpu0/cpufreq/scaling_governor": "performance\n",
        f"{CPU}cpu1/cpufreq/scaling_governor": "performance\n",
        f"{CPU}cpu4/cpufreq/scaling_governor": "powersave\n",
        f"{CPU}cpu5/cpufreq/scaling_governor": "of a core that is switched off\n",
        f"{CPU}cpu0/cpufreq/scaling_max_freq": "2400000\n",
        f"{CPU}cpu4/cpufreq/scaling_max_freq": "1800000\n",
        f"{CPU}intel_pstate/no_turbo": "1\n",
        "sys/fs/cgroup/cpu.max": "150000 100000\n",
    }
    facts = environment.host_facts(make_host(files))
    assert facts["governor"] == "performance,powersave"
    assert facts["max_khz"] == "1800000,2400000"
    assert facts["boost"] == "off"
    assert facts["quota"] == "1.50"


@pytest.mark.parametrize(("name", "text", "told"), [
    ("cpufreq/boost", "1", "on"),
    ("cpufreq/boost", "0", "off"),
    ("intel_pstate/no_turbo", "0", "on"),
])  # fmt: skip
def test_boost_is_told_by_either_driver(make_host: MakeHost, name: str, text: str, told: str) -> None:
    assert environment.host_facts(make_host({f"{CPU}{name}": text}))["boost"] == told


def test_a_container_without_a_limit_has_no_quota(make_host: MakeHost) -> None:
    assert "quota" not in environment.host_facts(make_host({"sys/fs/cgroup/cpu.max": "max 100000\n"}))


def test_two_hosts_of_one_type_agree_though_their_clocks_differ(make_host: MakeHost) -> None:
    mine = environment.host_facts(make_host({"proc/cpuinfo": X86}, folder="a"))
    theirs = environment.host_facts(make_host({"proc/cpuinfo": X86.replace("1187.004", "2999.9")}, folder="b"))
    assert mine == theirs


def test_another_host_is_told_by_itself_and_by_nothing_of_this_machine(make_host: MakeHost) -> None:
    """A board that tells nothing has the facts that HQP declares, and not this machine's processor in their place."""
    silent = environment.environment(DEVICE, {}, "8.2", make_host({}))
    assert silent.facts == {"runtime": "openvino 8.2", "threads": "1", "protocol": PROTOCOL}
    says = {"uname -m": "AARCH64\n", "uname -s": "Linux\n", "getconf GNU_LIBC_VERSION": "glibc 2.27\n"}
    board = make_host({"proc/cpuinfo": ARM, "proc/self/status": "Name:\tcat\nCpus_allowed_list:\t0-2,5\n"}, says)
    assert environment.host_facts(board) == {
        "cpu": "implementer 0x41 part 0xd05,0xd0b variant 0x4 revision 1",
        "architecture": "aarch64",
        "instructions": "asimd asimddp asimdhp",
        "cores": "4",
        "system": "Linux glibc",
    }


def test_a_board_that_has_gone_has_not_told_that_it_has_no_facts(make_host: MakeHost) -> None:
    class Gone(Here):
        def read(self, path: str) -> str:
            raise Unreachable("user@board cannot be reached")

    with pytest.raises(Unreachable):
        environment.host_facts(Gone())


@pytest.mark.skipif(platform.system() != "Linux", reason="what Python tells here is what Linux tells there")
def test_this_machine_and_its_files_read_from_afar_are_one_environment() -> None:
    """A board that measures itself and one that is measured over SSH have the same facts."""

    class Loopback(Here):
        name = "user@localhost"

    assert environment.host_facts(Loopback()) == environment.host_facts(HERE)


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
