"""What a measured number depends on beside the model, and what a report says of the machine.

Facts hold no names of hosts, users or paths: two containers on machines of one type agree. What a system does not tell
is absent.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

import psutil

import hqp
from hqp import transport
from hqp.errors import HqpError
from hqp.measure import PROTOCOL
from hqp.records import Device, Environment

# Of hundreds of flags those by which inference kernels are chosen; a hypervisor may hide some of them.
KERNEL_FLAGS = re.compile(r"avx2|avx512f|avx\w*_?vnni\w*|avx512_?bf16|amx_\w+|asimd\w*|i8mm|bf16|sve2?")

# Packages on which a report's numbers rest.
PACKAGES = ("numpy", "onnx", "onnxruntime", "openvino", "torch", "torchvision")

_ROOT = Path("/")


def environment(device: Device, facts: Mapping[str, str], runtime_version: str) -> Environment:
    """The environment of numbers measured on ``device`` here and now; ``facts`` are the device's own."""
    declared = {
        "runtime": f"{device.runtime} {runtime_version}",
        "threads": str(device.threads),
        "protocol": PROTOCOL,
    }
    return Environment({**host_facts(), **facts, **declared})


def host_facts(root: Path = _ROOT) -> dict[str, str]:
    """What latency depends on and every host can tell: processor, cores, power state, system."""
    told = {
        "cpu": cpu_model(root),
        "architecture": platform.machine().lower(),
        "instructions": _instructions(root),
        "cores": str(usable_cores()),
        "quota": _quota(root),
        "governor": _each(root, "sys/devices/system/cpu/cpufreq/policy*/scaling_governor"),
        "max_khz": _each(root, "sys/devices/system/cpu/cpufreq/policy*/scaling_max_freq"),
        "boost": _boost(root),
        "system": " ".join(filter(None, (platform.system(), platform.libc_ver()[0]))),
    }
    return {key: value for key, value in told.items() if value}


def machine() -> dict[str, str]:
    """What a report says of the machine and the software on it."""
    versions = {package: _version(package) for package in PACKAGES}
    return {
        "cpu": cpu_model(),
        "cores": str(usable_cores()),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
        "hqp": hqp.__version__,
        **{package: version for package, version in versions.items() if version},
    }


def usable_cores() -> int:
    """The logical cores that this process may run on, which may be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model(root: Path = _ROOT) -> str:
    """The processor's name and, on x86, its family, model and stepping, since names in virtual machines are vague."""
    entries = _cpuinfo(root)
    if "model name" in entries:
        exact = " ".join(f"{key} {entries[key]}" for key in ("cpu family", "model", "stepping") if key in entries)
        return f"{entries['model name']} ({exact})" if exact else entries["model name"]
    if "CPU part" in entries:
        keys = ("CPU implementer", "CPU part", "CPU variant", "CPU revision")
        board = _text(root / "sys/firmware/devicetree/base/model").strip("\0")
        return " ".join(filter(None, (board, *(f"{key[4:]} {entries[key]}" for key in keys if key in entries))))
    if platform.system() == "Darwin":
        return _apple_model()
    return platform.processor() or platform.machine()


def _apple_model() -> str:
    try:
        return transport.run(("sysctl", "-n", "machdep.cpu.brand_string"), timeout_s=10).stdout.strip()
    except HqpError:
        return platform.machine()


def _cpuinfo(root: Path) -> dict[str, str]:
    """The last entry of each key; cores of two kinds differ in ``CPU part``, of which all are kept."""
    pairs = re.findall(r"^([^\t:]+?)\s*:\s*(.*)$", _text(root / "proc/cpuinfo"), re.MULTILINE)
    entries = dict(pairs)
    parts = _distinct(value for key, value in pairs if key == "CPU part")
    return {**entries, "CPU part": parts} if parts else entries


def _instructions(root: Path) -> str:
    entries = _cpuinfo(root)
    flags = entries.get("flags") or entries.get("Features") or ""
    return " ".join(sorted(flag for flag in flags.split() if KERNEL_FLAGS.fullmatch(flag)))


def _quota(root: Path) -> str:
    """The cores' worth of time that a container is held to, e.g. ``1.50``; empty where it is not limited."""
    words = _text(root / "sys/fs/cgroup/cpu.max").split()
    return f"{int(words[0]) / int(words[1]):.2f}" if len(words) == 2 and words[0] != "max" else ""


def _boost(root: Path) -> str:
    """``on`` or ``off`` where the system tells whether clocks may exceed the nominal one."""
    inverted = _text(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    told = {"0": "1", "1": "0"}.get(inverted, "") or _text(root / "sys/devices/system/cpu/cpufreq/boost")
    return {"0": "off", "1": "on"}.get(told, "")


def _each(root: Path, pattern: str) -> str:
    return _distinct(_text(file) for file in root.glob(pattern))


def _distinct(values: Iterable[str]) -> str:
    return ",".join(sorted(set(filter(None, values))))


def _text(file: Path) -> str:
    """A file's text, stripped; empty where there is none to read, as on another system."""
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
