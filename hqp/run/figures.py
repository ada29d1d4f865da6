"""The figures of a case, each by a name that carries its unit: what a test report keeps beside a verdict."""

from __future__ import annotations

import numpy as np

from hqp.records import Measurement
from hqp.stats import summary

Figures = dict[str, str | int | float]


def figures(measurement: Measurement) -> Figures:
    """What was measured of a case; what could not be is absent."""
    sidecar, accuracy, dense = measurement.sidecar, measurement.accuracy, measurement.fp32_accuracy
    told: Figures = {
        "model_sha256": sidecar.file.sha256,
        "environment": measurement.environment.digest,
        "model_bytes": sidecar.file.size_bytes,
        "fp32_bytes": measurement.fp32_bytes,
        "sparsity": sidecar.filters.sparsity,
        "images": accuracy.total,
        "correct": accuracy.correct,
        "top1": accuracy.top1,
        "top5": accuracy.top5,
        "blocks": len(measurement.latency.blocks),
        "disturbed_blocks": len(measurement.latency.disturbed),
    }
    if dense is not None:
        told |= {"fp32_correct": dense.correct, "fp32_top1": dense.top1}
    if measurement.latency.blocks:
        times = summary.summarise(measurement.latency.candidate_ms)
        told |= {"median_ms": times.median_ms, "p90_ms": times.p90_ms, "p99_ms": times.p99_ms}
        told["reference_median_ms"] = float(np.median(measurement.latency.reference_ms))
    # An operator's own times are for the report: a model has hundreds.
    whole = (metric for metric in measurement.metrics if not metric.of)
    return told | {f"{metric.name}_{metric.unit}": metric.median for metric in whole}
