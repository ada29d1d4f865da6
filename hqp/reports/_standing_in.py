"""What two devices say of one file: the stand-in that judged it while it was made, and the device it was made for."""

from __future__ import annotations

from collections.abc import Iterator

from hqp.records import Accuracy, Measurement


def drops(measurement: Measurement) -> Iterator[str]:
    """Both drops of a file that a stand-in judged; nothing of any other. Gates judge by the device's own."""
    sidecar, device = measurement.sidecar, measurement.case.device
    shipped, reference = sidecar.accuracy.shipped, measurement.fp32_accuracy
    if not sidecar.origin.standing_in_for or shipped is None or reference is None:
        return
    before = _drop_pp(sidecar.accuracy.fp32, shipped)
    now = _drop_pp(reference, measurement.accuracy)
    told = f"the drop was {before} pp on {sidecar.origin.verified_in}, on '{shipped.split}'"
    yield f"{sidecar.settings.method} on {device}: {told}, and is {now} pp on {device} itself"


def _drop_pp(reference: Accuracy, judged: Accuracy) -> str:
    return f"{100 * (reference.top1 - judged.top1):.2f}"
