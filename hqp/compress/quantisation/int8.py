"""The INT8 file of a candidate: of the calibrations that its recipe allows, the one that stays nearest to FP32."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from hqp import documents, onnx_rules
from hqp.compress.job import Draft, Job, calibration, stopwatch, taken
from hqp.compress.quantisation import calibrate, qdq
from hqp.errors import HqpError
from hqp.records import Calibrated, Calibration, Cost, Quantization

FILE, CHOICE = "model.onnx", "choice.json"

# JSON has no infinity.
FARTHEST = sys.float_info.max

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Ranges:
    """Calibrated activation ranges, lowest and highest value by tensor, of each calibration."""

    ranges: dict[Calibration, dict[str, tuple[float, float]]]
    cost: Cost


@dataclass(frozen=True)
class Choice:
    """Which calibration was taken, and what it cost to tell."""

    calibrated: Calibrated
    cost: Cost


def quantised(
    job: Job, draft: Draft, how: Quantization, plain: Path, key: Mapping[str, Any]
) -> tuple[Path, Calibrated]:
    """The INT8 file of an FP32 file ``plain``, and which calibration it has; ``key`` names the FP32 file."""
    key = {**key, "policy": asdict(job.policy), "how": asdict(how)}
    ranges = job.store.record("ranges", key, Ranges, partial(_ranges, job, how, plain))
    place = job.store.make("quantized", {**key, "device": job.device}, partial(_write_nearest, job, how, plain, ranges))
    choice = job.store.read(place / CHOICE, Choice)
    draft.spend(ranges.cost, choice.cost)
    return place / FILE, choice.calibrated


def _ranges(job: Job, how: Quantization, plain: Path) -> Ranges:
    """The ranges by every allowed calibration: one pass over calibration images."""
    images = taken(job, how.images)

    def batches() -> Iterator[Array]:
        return (batch for _, batch in calibration(job, images))

    cost = stopwatch("calibration")
    with job.track("calibration", images) as advance:
        seen = calibrate.distributions(plain, batches, job.policy, advance)
    found = {name: calibrate.ranges(seen, name, job.policy) for name in how.calibrations}
    return Ranges(found, cost(images, 1))


def _write_nearest(job: Job, how: Quantization, plain: Path, ranges: Ranges, folder: Path) -> None:
    """Writes the file of each calibration, and keeps the nearest alone."""
    cost, passes = stopwatch("calibration"), 0
    images = taken(job, min(how.compared, how.images))
    files = {name: folder / f"{name}.onnx" for name in how.calibrations}
    for name, file in files.items():
        qdq.quantize(plain, file, ranges.ranges[name], job.policy)
        onnx_rules.check(file, symmetric_only=job.policy.symmetric)
    divergences: dict[Calibration, float] = {}
    if len(files) > 1:
        exact = job.outputs(plain, images)
        divergences = {name: divergence(exact, job.outputs(file, images)) for name, file in files.items()}
        passes = 1 + len(files)
    nearest = min(how.calibrations, key=lambda name: divergences.get(name, 0.0))
    files[nearest].replace(folder / FILE)
    for name in files.keys() - {nearest}:
        files[name].unlink()
    documents.write(folder / CHOICE, Choice(Calibrated(nearest, divergences), cost(images * passes, passes)))


def divergence(exact: Array, found: Array) -> float:
    """The mean of KL(exact‖found), in nats, of the class probabilities that two files give: logits, (n, classes).

    Raises:
        HqpError: the exact logits are not finite.
    """
    if not np.isfinite(exact).all():
        raise HqpError("the network gives NaN or infinity on calibration images", "finite weights and images")
    expected, given = (log_softmax(logits.astype(np.float64), axis=1) for logits in (exact, found))
    mean = (np.exp(expected) * (expected - given)).sum(axis=1).mean()
    return float(np.nan_to_num(mean, nan=FARTHEST, posinf=FARTHEST))
