"""How the gates word an estimate and what would settle it."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor

from hqp.records import Estimate, Outcome, PairedLatency, Rerun
from hqp.stats import noninferiority, sequential

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


def interval(estimate: Estimate, unit: str, places: int, about: str = "") -> str:
    """``2.41x (90% interval 2.38 to 2.45)``; what is to be known of the interval follows its bounds."""
    bounds = f"{estimate.lower:.{places}f} to {estimate.upper:.{places}f}"
    known = f", {about}" if about else ""
    return f"{estimate.value:.{places}f}{unit} ({100 * estimate.confidence:.4g}% interval {bounds}{known})"


def rounded(value: float, direction: Callable[[float], int]) -> str:
    """A limit that would pass, to two decimals: ``UP`` where the limit is a ceiling, ``DOWN`` where it is a floor."""
    return f"{direction(100 * value) / 100:.2f}"


def too_few(latency: PairedLatency) -> str:
    """That no time can be bounded by so few processes, what disturbed others, and how many it takes."""
    first = sequential.looks(latency.most_processes, latency.tail)[0].values
    lost = f" ({len(latency.disturbed)} blocks disturbed: {latency.disturbed[0]})" if latency.disturbed else ""
    return f"too few processes to bound a time: {latency.processes} of {first}{lost}; measure on an idle machine"


def more_rounds(rounds: int | None) -> str:
    """How many rounds would settle a ratio in four of five runs."""
    return f"about rounds={rounds} in the suite would decide" if rounds else "more rounds would hardly decide"


def more_images(images: int | None) -> str:
    """How many images would settle a share or a difference of shares."""
    return f"about {images:,} images would decide" if images else "more images would hardly decide"


def baseline(rerun: Rerun) -> str:
    """The baseline's artefact, and that it ran here wherever it was recorded."""
    if not rerun.elsewhere:
        return "the baseline's artefact"
    return f"the baseline's artefact (recorded with another {', '.join(rerun.elsewhere)}; rerun here)"


def missing(rerun: Rerun) -> str:
    """That the baseline's artefact could not be rerun, and what brings it."""
    return f"artefact missing: {rerun.missing}"


def exact_bytes(count: int, max_bytes: float) -> tuple[Outcome, str, Estimate]:
    """Whether a count of bytes, which has no interval, is at most a limit, and how that reads."""
    estimate = Estimate(float(count), float(count), float(count), confidence=1.0)
    outcome = noninferiority.at_most(estimate, max_bytes)
    if outcome == "pass":
        return outcome, f"{count:,} bytes, within {max_bytes:,.0f}", estimate
    return outcome, f"{count:,} bytes, above {max_bytes:,.0f}; max_bytes={count} would pass", estimate
