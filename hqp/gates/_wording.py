"""How the gates word an estimate and what would settle it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

from hqp.records import Estimate, PairedLatency
from hqp.stats import noninferiority, signed_rank

UP, DOWN = ceil, floor

# Two decimals read best; more are written only where fewer would show a number as equal to a limit that it misses.
DECIMALS = range(2, 10)


def decimals(estimate: Estimate, limit: float) -> int:
    """The fewest decimals with which no number of the estimate looks like the limit without being it."""
    numbers = [number for number in (estimate.value, estimate.lower, estimate.upper) if number != limit]
    told_apart = (
        places for places in DECIMALS if all(f"{number:.{places}f}" != f"{limit:.{places}f}" for number in numbers)
    )
    return next(told_apart, DECIMALS[-1])


def interval(estimate: Estimate, unit: str, places: int) -> str:
    """``2.41x (90% interval 2.38 to 2.45)``."""
    bounds = f"{estimate.lower:.{places}f} to {estimate.upper:.{places}f}"
    return f"{estimate.value:.{places}f}{unit} ({100 * estimate.confidence:.0f}% interval {bounds})"


def rounded(value: float, direction: Callable[[float], int]) -> str:
    """A limit that would pass, to two decimals: ``UP`` where the limit is a ceiling, ``DOWN`` where it is a floor."""
    return f"{direction(100 * value) / 100:.2f}"


def too_few(latency: PairedLatency) -> str:
    """That no ratio can be bounded by so few blocks, what disturbed the others, and how many it takes."""
    fewest = signed_rank.fewest_blocks(noninferiority.CONFIDENCE)
    lost = f" ({len(latency.disturbed)} disturbed: {latency.disturbed[0]})" if latency.disturbed else ""
    return (
        f"too few blocks to bound a ratio: {len(latency.blocks)}{lost}; rounds={fewest} or more in the suite, when idle"
    )


def more_rounds(rounds: int | None) -> str:
    """How many rounds would settle a ratio."""
    return f"about rounds={rounds} in the suite would decide" if rounds else "more rounds would hardly decide"
