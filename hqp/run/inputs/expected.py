"""Whether the trained model is as good as its user knows it to be, seen before minutes are spent on it."""

from __future__ import annotations

from math import sqrt

from hqp.errors import HqpError
from hqp.records import Accuracy

# By how much top-1 may lie beside what is expected: by a point, since other images and another decoder judge it, or by
# as much as so many images are off by chance in 3 of 1,000 draws, where that is more.
TOLERATED_POINTS, STANDARD_ERRORS = 1.0, 3.0


def shown(accuracy: Accuracy) -> str:
    """The trained model's top-1 in one line."""
    counted = f"{accuracy.correct:,} of {accuracy.total:,} images of '{accuracy.split}'"
    return f"top-1 of the trained model: {accuracy.top1:.2%} ({counted})"


def tolerance_pp(accuracy: Accuracy, expected_percent: float) -> float:
    """How many points of top-1 the accuracy may lie beside what is expected."""
    share = expected_percent / 100
    standard_error = sqrt(share * (1 - share) / accuracy.total)
    return max(TOLERATED_POINTS, 100 * STANDARD_ERRORS * standard_error)


def require_expected(accuracy: Accuracy, expected_percent: float | None) -> None:
    """Sees that the trained model's top-1 is what its user expects, where he says that.

    Raises:
        HqpError: it is another.
    """
    if expected_percent is None:
        return
    tolerated = tolerance_pp(accuracy, expected_percent)
    if abs(100 * accuracy.top1 - expected_percent) > tolerated:
        raise HqpError(
            f"{shown(accuracy)}, and {expected_percent:g}% is expected, give or take {tolerated:.2f} points",
            "images as in its training",
            "--crop, --resize, --interpolation, --mean, --std and --input-size say how",
        )
