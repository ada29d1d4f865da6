"""A proportion that was counted."""

from __future__ import annotations

from scipy.special import betaincinv

from hqp.records import Estimate


def percent(hits: int, total: int, confidence: float) -> Estimate:
    """The share of ``hits`` in ``total`` draws, in percent, with its exact interval.

    Whatever the true share is, each bound misses it with a probability of at most (1 - confidence) / 2. Source: C.
    Clopper, E. Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial", Biometrika
    26 (1934), 404-413.

    Raises:
        ValueError: there are no draws, more hits than draws, or the confidence does not lie between 0 and 1.
    """
    if not 0 <= hits <= total or not total:
        raise ValueError(f"{hits} hits of {total}")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence {confidence} does not lie between 0 and 1")
    tail = (1 - confidence) / 2
    lower = betaincinv(hits, total - hits + 1, tail) if hits else 0.0
    upper = betaincinv(hits + 1, total - hits, 1 - tail) if hits < total else 1.0
    return Estimate(100 * hits / total, 100 * float(lower), 100 * float(upper), confidence)
