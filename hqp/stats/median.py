"""The median of independent numbers, with an interval that assumes nothing of how they scatter."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.special import bdtr

from hqp.records import Estimate


def median(values: Sequence[float], confidence: float) -> Estimate | None:
    """The median with its exact interval between two of the sorted values; ``None`` where they are too few for one.

    The k-th smallest of n values lies above the true median with the probability that at most k - 1 of n fair coins
    show heads; the bounds are the innermost values for which that is at most (1 - confidence) / 2. It takes 5 values
    at 90%. Source: H. David, H. Nagaraja, "Order Statistics" (2003), 7.1.

    Raises:
        ValueError: a value is not finite, or the confidence does not lie between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} does not lie between 0 and 1")
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    if not np.isfinite(ordered).all():
        raise ValueError("a median needs finite values")
    chances = bdtr(np.arange(len(ordered) // 2), len(ordered), 0.5)
    outside = int(np.searchsorted(chances, (1 - confidence) / 2, side="right"))
    if not outside:
        return None
    lower, upper = ordered[outside - 1], ordered[-outside]
    return Estimate(float(np.median(ordered)), float(lower), float(upper), confidence)
