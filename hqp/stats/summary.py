"""What describes one sample of latencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Summary:
    """The median and the 90th and 99th percentile of latencies, in ms."""

    median_ms: float
    p90_ms: float
    p99_ms: float


def summarise(samples_ms: Sequence[float] | npt.NDArray[np.float64]) -> Summary:
    """The summary of at least one finite sample.

    A percentile p lies at position (n - 1) p / 100 of the sorted samples, counted from 0, and between two samples on
    the line that joins them: type 7 of R. Hyndman, Y. Fan, "Sample quantiles in statistical packages" (1996).

    Raises:
        ValueError: there is no sample, or one is not finite.
    """
    samples = np.asarray(samples_ms, dtype=np.float64)
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise ValueError("a summary needs a list of at least one finite sample")
    median, p90, p99 = np.percentile(samples, (50, 90, 99), method="linear")
    return Summary(float(median), float(p90), float(p99))
