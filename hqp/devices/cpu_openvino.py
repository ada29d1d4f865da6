"""This machine's CPU under OpenVINO, on x86-64 and ARM alike."""

from __future__ import annotations

from hqp.records import Device, Policy
from hqp.transport import Host

# One thread is the steadiest number there is and exists everywhere, from a Raspberry Pi to a server: no barrier waits
# for a core that another process holds. More threads are another device, declared in another file.
device = Device(
    runtime="openvino",
    threads=1,
    precisions=("fp32", "bf16", "int8"),
    needs={"bf16": "bf16"},
    # What comes out of a convolution stays in float: as fast on ResNet-18, 1.2 times as fast on MobileNetV3-Large.
    # Kernels work on channels in blocks: with as many channels in sixteens both networks are 1.2 to 1.35 times as fast.
    policy=Policy(
        activations="uint8", symmetric=False, float_results=True, channel_multiple=16, saturates_without="vnni"
    ),
    summary="this machine's CPU, OpenVINO, one thread",
)


def facts(host: Host) -> dict[str, str]:
    """Nothing beyond what every host reports of its CPU."""
    return {}
