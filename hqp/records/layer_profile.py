"""What each layer of a network is worth: to accuracy, and to the time on a device."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.records.ranges import Share, Some


@dataclass(frozen=True)
class LayerProfile:
    """What compressing one layer only costs, and what it takes on the device.

    ``sensitivity`` is the mean S of its filters. ``quantised_nats`` and ``pruned_nats`` are mean KL divergences of the
    class probabilities on calibration images from those of the trained model, where that layer alone is INT8, and where
    a share of its filters is gone with all that hangs on them. Of a layer that loses no filter there is none.
    """

    layer: str
    filters: Some
    sensitivity: float | None
    quantised_nats: float
    pruned_nats: float | None
    int8_ms: float | None
    float_ms: float | None


@dataclass(frozen=True)
class NetworkProfile:
    """The layers of a network in its order, by so many calibration ``images`` and the ``share`` of filters pruned."""

    schema_version: int
    model: str
    dataset: str
    device: str
    input_size: Some
    images: Some
    share: Share
    floats: str
    layers: tuple[LayerProfile, ...]
