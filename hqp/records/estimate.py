"""A number that is not known exactly."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Estimate:
    """A value with its two-sided interval at ``confidence``; the unit is the caller's."""

    value: float
    lower: float
    upper: float
    confidence: float
