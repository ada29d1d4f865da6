"""The INT8 file of a candidate: of the calibrations that its recipe allows, the one that stays nearest to FP32."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.special import log_softmax

from hqp import documents, onnx_rules
from hqp.compress.job import Job, calibration_batches, calibration_count
from hqp.compress.quantisation import calibrate, qdq
from hqp.errors import HqpError
from hqp.ledger import Ledger, Tally
from hqp.records import Calibrated, Calibration, Policy, Quantization

FILE, CHOICE = "model.onnx", "choice.json"

STEP = "calibration"

# JSON has no infinity.
FARTHEST = sys.float_info.max

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class CalibratedRanges:
    """The lowest and the highest value of each activation, by tensor, as each calibration has them."""

    by_calibration: dict[Calibration, dict[str, tuple[float, float]]]


def ranged_by(plain: Path, policy: Policy) -> Policy:
    """The policy whose ranges a file is quantised by: of INT8 throughout, where that sees all that this one needs.

    So one pass over calibration images serves every choice of layers.
    """
    throughout = replace(policy, layers={}, floats="fp32")
    needed = set(qdq.tensors(plain, policy))
    return throughout if needed.issubset(qdq.tensors(plain, throughout)) else policy


def ranges(job: Job, how: Quantization, policy: Policy, plain: Path, ledger: Ledger) -> CalibratedRanges:
    """The ranges of an FP32 file by every allowed calibration: one pass over calibration images."""
    images = calibration_count(job, how.images)

    def batches() -> Iterator[Array]:
        return (batch for _, batch in calibration_batches(job, images))

    with ledger.step(STEP) as tally:
        with job.track(STEP, images) as advance:
            seen = calibrate.distributions(plain, batches, policy, advance)
        by_calibration = {name: calibrate.ranges(seen, name, policy) for name in how.calibrations}
        tally.images, tally.passes = images, 1
    return CalibratedRanges(by_calibration)


def write_nearest(
    job: Job, how: Quantization, policy: Policy, plain: Path, calibrated: CalibratedRanges, folder: Path, ledger: Ledger
) -> None:
    """Writes the INT8 file of each calibration into the folder, and keeps the nearest to FP32 alone."""
    with ledger.step(STEP) as tally:
        files: dict[Calibration, Path] = {name: folder / f"{name}.onnx" for name in how.calibrations}
        for name, file in files.items():
            qdq.quantize(plain, file, calibrated.by_calibration[name], policy)
            onnx_rules.check(file, symmetric_only=policy.symmetric)
        # Of a single one there is nothing to compare.
        divergences = _divergences(job, how, plain, files, tally) if len(files) > 1 else {}
        # Of equally near ones the first that the recipe names.
        nearest = min(files, key=lambda name: divergences.get(name, 0.0))
        files.pop(nearest).replace(folder / FILE)
        for file in files.values():
            file.unlink()
        documents.write(folder / CHOICE, Calibrated(nearest, divergences))


def _divergences(
    job: Job, how: Quantization, plain: Path, files: Mapping[Calibration, Path], tally: Tally
) -> dict[Calibration, float]:
    """How far from FP32 each file is, in the device's runtime on calibration images."""
    images = calibration_count(job, min(how.compared, how.images))
    exact = job.outputs(plain, images)
    divergences: dict[Calibration, float] = {}
    for name, file in files.items():
        divergences[name] = divergence(exact, job.outputs(file, images))
    tally.passes = 1 + len(files)
    tally.images = images * tally.passes
    return divergences


def divergence(exact: Array, found: Array) -> float:
    """The mean of KL(exact‖found), in nats, of the class probabilities that two files give: logits, (n, classes).

    Raises:
        HqpError: the exact logits are not finite.
    """
    if not np.isfinite(exact).all():
        raise HqpError("the network gives NaN or infinity on calibration images", "finite weights and images")
    expected, given = (log_softmax(logits.astype(np.float64), axis=1) for logits in (exact, found))
    by_image = (np.exp(expected) * (expected - given)).sum(axis=1)
    return float(np.nan_to_num(by_image.mean(), nan=FARTHEST, posinf=FARTHEST))
