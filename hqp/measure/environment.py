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

import psutil

import hqp
from hqp.measure import PROTOCOL, procfs
from hqp.measure.procfs import CORES, asked, cores, text
from hqp.records import Device, Environment
from hqp.transport import HERE, Host

# Of hundreds of flags those by which inference kernels are chosen; a hypervisor may hide some of them.
KERNEL_FLAGS = re.compile(r"avx2|avx512f|avx\w*_?vnni\w*|avx512_?bf16|amx_\w+|asimd\w*|i8mm|bf16|sve2?")

# Packages on which a report's numbers rest.
PACKAGES = ("numpy", "onnx", "onnxruntime", "openvino", "torch", "torchvision")


def environment(device: Device, facts: Mapping[str, str], runtime_version: str, host: Host = HERE) -> Environment:
    """The environment of numbers measured on ``device`` now, on its ``host``; ``facts`` are the device's own."""
    declared = {
        "runtime": f"{device.runtime} {runtime_version}",
        "threads": str(device.threads),
        "protocol": PROTOCOL,
    }
    return Environment({**host_facts(host), **facts, **declared})


def host_facts(host: Host = HERE) -> dict[str, str]:
    """What latency depends on and every host can tell: processor, cores, power state, system."""
    told = {
        "cpu": cpu_model(host),
        "architecture": _architecture(host),
        "instructions": instructions(host),
        "cores": str(usable_cores(host) or ""),
        "quota": _quota(host),
        "governor": _of_each_core(host, "cpufreq/scaling_governor"),
        "max_khz": _of_each_core(host, "cpufreq/scaling_max_freq"),
        "boost": _boost(host),
        "system": _system(host),
    }
    return {key: value for key, value in told.items() if value}


def machine() -> dict[str, str]:
    """What a report says of this machine and the software on it."""
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


def usable_cores(host: Host = HERE) -> int:
    """The logical cores that a process may run on there, which may be fewer than the machine has; 0 if not told."""
    if host is not HERE:
        return len(procfs.usable_cores(host))
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def cpu_model(host: Host = HERE) -> str:
    """The processor's name and, on x86, its family, model and stepping, since names in virtual machines are vague."""
    entries = _cpuinfo(host)
    # First, since ARM's "model name", where there is one, is the same for many processors.
    if "CPU part" in entries:
        keys = ("CPU implementer", "CPU part", "CPU variant", "CPU revision")
        board = text(host, "/sys/firmware/devicetree/base/model").strip("\0")
        return " ".join(filter(None, (board, *(f"{key[4:]} {entries[key]}" for key in keys if key in entries))))
    if "model name" in entries:
        exact = " ".join(f"{key} {entries[key]}" for key in ("cpu family", "model", "stepping") if key in entries)
        return f"{entries['model name']} ({exact})" if exact else entries["model name"]
    return _model_here() if host is HERE else ""


def _model_here() -> str:
    """What Python and macOS say of this machine's processor, where it has no ``/proc/cpuinfo``."""
    if platform.system() == "Darwin":
        return asked(HERE, "sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine()


def _architecture(host: Host) -> str:
    return (platform.machine() if host is HERE else asked(host, "uname", "-m")).lower()


def _system(host: Host) -> str:
    """The kernel's and the C library's name, ``Linux glibc``; of another host, as far as it tells them."""
    if host is HERE:
        return " ".join(filter(None, (platform.system(), platform.libc_ver()[0])))
    library = asked(host, "getconf", "GNU_LIBC_VERSION").partition(" ")[0]
    return " ".join(filter(None, (asked(host, "uname", "-s"), library)))


def _cpuinfo(host: Host) -> dict[str, str]:
    """The last entry of each key; cores of two kinds differ in ``CPU part``, of which all are kept."""
    pairs = re.findall(r"^([^\t:]+?)\s*:\s*(.*)$", text(host, "/proc/cpuinfo"), re.MULTILINE)
    entries = dict(pairs)
    parts = _distinct(value for key, value in pairs if key == "CPU part")
    return {**entries, "CPU part": parts} if parts else entries


def instructions(host: Host = HERE) -> str:
    """Those of the processor's instructions that kernels for networks are chosen by; empty where it tells none."""
    entries = _cpuinfo(host)
    flags = entries.get("flags") or entries.get("Features") or ""
    return " ".join(sorted(flag for flag in flags.split() if KERNEL_FLAGS.fullmatch(flag)))


def _quota(host: Host) -> str:
    """The cores' worth of time that a container is held to, e.g. ``1.50``; empty where it is not limited."""
    words = text(host, "/sys/fs/cgroup/cpu.max").split()
    return f"{int(words[0]) / int(words[1]):.2f}" if len(words) == 2 and words[0] != "max" else ""


def _boost(host: Host) -> str:
    """``on`` or ``off`` where the system tells whether clocks may exceed the nominal one."""
    inverted = text(host, f"{CORES}/intel_pstate/no_turbo")
    told = {"0": "1", "1": "0"}.get(inverted, "") or text(host, f"{CORES}/cpufreq/boost")
    return {"0": "off", "1": "on"}.get(told, "")


def _of_each_core(host: Host, name: str) -> str:
    """What a file of each core's folder says, each answer once."""
    return _distinct(text(host, f"{CORES}/cpu{core}/{name}") for core in cores(host))


def _distinct(values: Iterable[str]) -> str:
    return ",".join(sorted(set(filter(None, values))))


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
