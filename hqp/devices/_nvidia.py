"""What the devices with an NVIDIA GPU share: the INT8 that TensorRT takes, and what ``nvidia-smi`` says of the GPU."""

from __future__ import annotations

from hqp.errors import HqpError
from hqp.records import Policy
from hqp.transport import Host

ASKED = {"gpu": "name", "driver": "driver_version", "gpu_power_limit": "power.limit"}

# INT8 as every TensorRT takes it.
POLICY = Policy("int8", symmetric=True, float_results=True)

# It can hang for seconds where a driver is in trouble.
TIMEOUT_S = 10.0


def facts(host: Host) -> dict[str, str]:
    """What identifies the first GPU of a host; nothing where there is none that ``nvidia-smi`` knows."""
    words = ["nvidia-smi", "--id=0", f"--query-gpu={','.join(ASKED.values())}", "--format=csv,noheader"]
    try:
        done = host.run(words, timeout_s=TIMEOUT_S)
    except HqpError:
        return {}
    told = [word.strip() for word in done.stdout.splitlines()[0].split(",")]
    return dict(zip(ASKED, told, strict=True))
