"""This machine's CPU under ONNX Runtime, on x86-64 and ARM alike."""

from __future__ import annotations

from hqp.records import Device, Policy
from hqp.transport import Host

# One thread, as on cpu_openvino, so that the two runtimes are compared alike. Unsigned activations, because on x86-64
# the kernels for signed ones are several times slower (a factor of 3.9 measured for ResNet-18).
device = Device(
    runtime="onnxruntime",
    threads=1,
    precisions=("fp32", "int8"),
    # Kernels work on channels in blocks: MobileNetV3-Large, pruned alike, takes 0.34 ms so and 0.63 with any number.
    policy=Policy(activations="uint8", symmetric=False, channel_multiple=8, saturates_without="vnni"),
    summary="this machine's CPU, ONNX Runtime, one thread",
)


def facts(host: Host) -> dict[str, str]:
    """Nothing beyond what every host reports of its CPU."""
    return {}
