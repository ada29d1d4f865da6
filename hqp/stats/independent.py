"""The quotient of two independent estimates of positive numbers, with an interval."""

from __future__ import annotations

from math import exp, hypot, log

from hqp.records import Estimate


def quotient(numerator: Estimate, denominator: Estimate) -> Estimate:
    """``numerator`` over ``denominator``, which come from different runs, at their common confidence.

    The interval adds the distances of the logarithms to their bounds in squares (MOVER), so it is not symmetric where
    theirs are not. Source: G. Zou, A. Donner, "Construction of confidence limits about effect measures: a general
    approach", Statistics in Medicine 27 (2008), 1693-1702.

    Raises:
        ValueError: a bound is not above 0, or the two have different confidences.
    """
    if numerator.confidence != denominator.confidence or min(numerator.lower, denominator.lower) <= 0:
        raise ValueError("a quotient needs two estimates of one confidence, with bounds above 0")
    value = numerator.value / denominator.value
    below = hypot(log(numerator.value / numerator.lower), log(denominator.upper / denominator.value))
    above = hypot(log(numerator.upper / numerator.value), log(denominator.value / denominator.lower))
    return Estimate(value, value * exp(-below), value * exp(above), numerator.confidence)
