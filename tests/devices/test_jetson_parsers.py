"""What Jetson boards print, line by line as it was seen on each JetPack."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp import tegrastats
from hqp.devices._jetson import module, nvpmodel, release
from hqp.tegrastats import Tegrastats

NANO_USER = (
    "RAM 330/3964MB (lfb 758x4MB) SWAP 0/1982MB (cached 0MB) CPU [12%@102,3%@102,4%@102,5%@102] EMC_FREQ 0% "
    "GR3D_FREQ 5% PLL@20.5C CPU@23C PMIC@100C GPU@22.5C AO@27C thermal@22.5C POM_5V_IN 933/933 POM_5V_GPU 0/0 "
    "POM_5V_CPU 84/84"
)
NANO_ROOT = (
    "RAM 331/3964MB (lfb 758x4MB) SWAP 0/1982MB (cached 0MB) IRAM 0/252kB(lfb 252kB) CPU [12%@102,off,4%@102,5%@102] "
    "EMC_FREQ 3%@204 GR3D_FREQ 5%@76 APE 25 PLL@20.5C CPU@23.5C PMIC@100C GPU@22.5C AO@27.5C thermal@23C "
    "POM_5V_IN 933/933 POM_5V_GPU 0/0 POM_5V_CPU 84/105"
)
TX2 = (
    "RAM 3276/7859MB (lfb 5x4MB) SWAP 1626/12122MB (cached 181MB) CPU [44%@1421,49%@2031] EMC_FREQ 1%@1866 "
    "GR3D_FREQ 0%@114 APE 150 MTS fg 1% bg 1% PLL@42.5C MCPU@42.5C PMIC@50C Tboard@38C GPU@39.5C BCPU@42.5C "
    "thermal@41.3C Tdiode@39.25C VDD_SYS_GPU 182/182 VDD_SYS_SOC 730/730 VDD_4V0_WIFI 0/0 VDD_IN 5297/5297 "
    "VDD_SYS_CPU 1917/1917 VDD_SYS_DDR 1241/1241"
)
AGX_XAVIER = (
    "EMC_FREQ 0% GR3D_FREQ 7% AO@26.5C GPU@28C iwlwifi@30C Tdiode@31.25C PMIC@100C AUX@26.5C CPU@27.5C "
    "thermal@27.45C Tboard@27C GPU 1155/1155 CPU 385/385 SOC 2504/2503 CV 0/0 VDDRQ 192/192 SYS5V 2692/2692"
)
XAVIER_NX = (
    "07-09-2024 13:31:31 RAM 3168/6851MB (lfb 2x4MB) SWAP 161/3426MB (cached 0MB) CPU [23%@1397,17%@1192] "
    "EMC_FREQ 2%@204 GR3D_FREQ 0%@[114] VIC_FREQ 115 APE 150 AUX@45C CPU@46.5C thermal@45.6C AO@45C GPU@45.5C "
    "PMIC@50C VDD_IN 2763mW/2846mW VDD_CPU_GPU_CV 650mW/670mW VDD_SOC 650mW/711mW"
)
AGX_ORIN_5 = (
    "01-03-2023 16:07:54 RAM 2257/30536MB (lfb 5392x4MB) SWAP 0/15268MB (cached 0MB) CPU [3%@729] EMC_FREQ 0%@204 "
    "GR3D_FREQ 12%@0 GR3D2_FREQ 3%@0 NVJPG1 729 VIC_FREQ 115 APE 233 CV0@-256C CPU@41.437C Tboard@29C SOC2@39.062C "
    "Tdiode@30.75C SOC0@39.031C CV1@-256C GPU@-256C tj@41.656C SOC1@38.937C CV2@-256C VDD_GPU_SOC 2390mW/2390mW "
    "VDD_CPU_CV 796mW/796mW VIN_SYS_5V0 3522mW/3522mW NC 0mW/0mW VDDQ_VDD2_1V8AO 301mW/301mW"
)
AGX_ORIN_7 = (
    "07-25-2026 09:08:28 RAM 20642/62817MB (lfb 1x2MB) CPU [23%@2201,10%@2201] EMC_FREQ 3%@3199 "
    "GR3D_FREQ 12%@[1300,1300] NVENC0 off NVDEC0 off APE 174 cpu@52.968C/52.968C soc2@48.406C/48.406C "
    "soc0@49.531C/49.531C gpu@47.625C/47.625C VDD_GPU_SOC 5139mW/5139mW/5139mW VDD_CPU_CV 3268mW/3268mW/3268mW "
    "VIN_SYS_5V0 5500mW/5500mW/5500mW"
)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            NANO_USER,
            Tegrastats(
                {"POM_5V_IN": 933, "POM_5V_GPU": 0, "POM_5V_CPU": 84},
                {"PLL": 20.5, "CPU": 23.0, "PMIC": 100.0, "GPU": 22.5, "AO": 27.0, "thermal": 22.5},
                0.05,
                (),
            ),
        ),
        (
            NANO_ROOT,
            Tegrastats(
                {"POM_5V_IN": 933, "POM_5V_GPU": 0, "POM_5V_CPU": 84},
                {"PLL": 20.5, "CPU": 23.5, "PMIC": 100.0, "GPU": 22.5, "AO": 27.5, "thermal": 23.0},
                0.05,
                (76,),
            ),
        ),
        (
            AGX_XAVIER,
            Tegrastats(
                {"GPU": 1155, "CPU": 385, "SOC": 2504, "CV": 0, "VDDRQ": 192, "SYS5V": 2692},
                {
                    "AO": 26.5,
                    "GPU": 28.0,
                    "iwlwifi": 30.0,
                    "Tdiode": 31.25,
                    "PMIC": 100.0,
                    "AUX": 26.5,
                    "CPU": 27.5,
                    "thermal": 27.45,
                    "Tboard": 27.0,
                },
                0.07,
                (),
            ),
        ),
        (
            AGX_ORIN_7,
            Tegrastats(
                {"VDD_GPU_SOC": 5139, "VDD_CPU_CV": 3268, "VIN_SYS_5V0": 5500},
                {"cpu": 52.968, "soc2": 48.406, "soc0": 49.531, "gpu": 47.625},
                0.12,
                (1300, 1300),
            ),
        ),
    ],
)
def test_a_line_is_read_whole(line: str, expected: Tegrastats) -> None:
    assert tegrastats.read(line) == expected


@pytest.mark.parametrize(
    ("line", "rails_mw", "gpu_mhz"),
    [
        (XAVIER_NX, {"VDD_IN": 2763, "VDD_CPU_GPU_CV": 650, "VDD_SOC": 650}, (114,)),
        (
            AGX_ORIN_5,
            {"VDD_GPU_SOC": 2390, "VDD_CPU_CV": 796, "VIN_SYS_5V0": 3522, "VDDQ_VDD2_1V8AO": 301},
            (0,),
        ),
        (
            TX2,
            {
                "VDD_SYS_GPU": 182,
                "VDD_SYS_SOC": 730,
                "VDD_4V0_WIFI": 0,
                "VDD_IN": 5297,
                "VDD_SYS_CPU": 1917,
                "VDD_SYS_DDR": 1241,
            },
            (114,),
        ),
        ("GR3D_FREQ @[1000,1000,1000] APE 150", {}, (1000, 1000, 1000)),
    ],
)
def test_rails_and_clocks(line: str, rails_mw: dict[str, int], gpu_mhz: tuple[int, ...]) -> None:
    said = tegrastats.read(line)
    assert (said.rails_mw, said.gpu_mhz) == (rails_mw, gpu_mhz)


def test_a_sensor_that_is_off_has_no_temperature() -> None:
    assert "GPU" not in tegrastats.read(AGX_ORIN_5).temperatures_c


@given(st.text())
def test_any_line_tells_something_or_nothing(line: str) -> None:
    assert all(value >= 0 for value in tegrastats.read(line).rails_mw.values())


@given(st.from_regex(r"[A-Z][A-Z0-9_]{1,15}", fullmatch=True).filter(lambda name: name != "NC"), st.integers(0, 99_999))
def test_a_rail_comes_back_in_each_form(name: str, power_mw: int) -> None:
    forms = (f"{name} {power_mw}/1", f"{name} {power_mw}mW/1mW", f"{name} {power_mw}mW/1mW/2mW")
    assert [tegrastats.read(f"APE 150 gpu@47.6C {form}").rails_mw for form in forms] == [{name: power_mw}] * 3


@pytest.mark.parametrize(
    ("text", "mode"),
    [
        ("NV Power Mode: MAXN\n0\n", "MAXN"),
        ("NVPM WARN: fan mode is not set!\nNV Power Mode: MODE_15W\n2\n", "MODE_15W"),
        ("NV Fan Mode:quiet\nNV Power Mode: MODE_30W_ALL\n3\n", "MODE_30W_ALL"),
        ("NVPM ERROR: Error opening /var/lib/nvpmodel/status: 13\n", ""),
    ],
)
def test_the_power_mode(text: str, mode: str) -> None:
    assert nvpmodel.current(text) == mode


def test_modes_have_their_numbers_by_name() -> None:
    text = (
        "NVPM VERB: PM_CONFIG: DEFAULT=MODE_15W(2)\n"
        "NVPM VERB: POWER_MODEL: ID=0 NAME=MAXN\nNVPM VERB: POWER_MODEL: ID=1 NAME=MODE_10W\n"
        "NVPM VERB: POWER_MODEL: ID=2 NAME=MODE_15W\n"
    )
    assert nvpmodel.modes(text) == {"MAXN": 0, "MODE_10W": 1, "MODE_15W": 2}


@pytest.mark.parametrize(
    ("text", "version", "jetpack"),
    [
        (
            "# R32 (release), REVISION: 7.1, GCID: 29689809, BOARD: t186ref, EABI: aarch64, DATE: Wed Feb  2\n",
            "32.7.1",
            "4.6.1",
        ),
        ("# R35 (release), REVISION: 3.1, GCID: 32790763, BOARD: t186ref, ...", "35.3.1", "5.1.1"),
        (
            "# R36 (release), REVISION: 4.3, GCID: 38968081, BOARD: generic, EABI: aarch64\n# KERNEL_VARIANT: oot\n",
            "36.4.3",
            "6.2",
        ),
        ("# R36 (release), REVISION: 3, GCID: 1", "36.3", "6.0"),
        ("# R39 (release), REVISION: 2.0, GCID: 1", "39.2.0", "7.2"),
        ("# R38 (release), REVISION: 2.1, GCID: 1", "38.2.1", "7.0"),
        ("nvidia-l4t-core\t36.4.3-20250107174145\n", "36.4.3", "6.2"),
        ("# R40 (release), REVISION: 1.0, GCID: 1", "40.1.0", ""),
        ("no such file", "", ""),
    ],
)
def test_the_release(text: str, version: str, jetpack: str) -> None:
    assert (release.l4t(text), release.jetpack(release.l4t(text))) == (version, jetpack)


@pytest.mark.parametrize(
    ("compatible", "modules", "number"),
    [
        ("nvidia,p3509-0000+p3668-0001\0nvidia,tegra194\0", ("p3668-",), "p3668-0001"),
        (
            "nvidia,p3768-0000+p3767-0005-super\0nvidia,p3767-0005\0nvidia,tegra234\0",
            ("p3767-0003", "p3767-0005"),
            "p3767-0005",
        ),
        ("nvidia,p3768-0000+p3767-0000-super\0nvidia,tegra234\0", ("p3767-0003", "p3767-0004", "p3767-0005"), ""),
        ("nvidia,p3450-0000\0nvidia,jetson-nano\0nvidia,tegra210\0", ("p3448-", "p3450-"), "p3450-0000"),
        ("raspberrypi,4-model-b\0brcm,bcm2711\0", ("p3448-",), ""),
    ],
)
def test_the_module_is_found_on_any_carrier(compatible: str, modules: tuple[str, ...], number: str) -> None:
    assert module.matching(compatible, modules) == number
