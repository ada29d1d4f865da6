"""A trained model that is not as good as its user knows it to be stops the run."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from hqp.errors import HqpError
from hqp.records import Accuracy
from hqp.run.inputs.expected import require_expected, shown, tolerance_pp


def right(make_accuracy: Callable[..., Accuracy], correct: int, total: int) -> Accuracy:
    return make_accuracy(np.arange(total) < correct, split="selection")


def test_the_published_case_is_stopped(make_accuracy: Callable[..., Accuracy]) -> None:
    zoomed = right(make_accuracy, 1802, 2500)
    assert shown(zoomed) == "top-1 of the trained model: 72.08% (1,802 of 2,500 images of 'selection')"
    with pytest.raises(
        HqpError,
        match=r"72\.08% .*, and 81% is expected, give or take 2\.35 points; images as in its training; try: --crop",
    ):
        require_expected(zoomed, 81)
    require_expected(right(make_accuracy, 2025, 2500), 81)
    require_expected(zoomed, None)


@pytest.mark.parametrize(
    ("total", "expected", "tolerated"),
    [
        (2_500, 81.0, 2.3538),  # 3 · sqrt(0.81 · 0.19 / 2500)
        (25_000, 81.0, 1.0),  # 0.74 by chance, and a point at the least
        (100, 100.0, 1.0),
    ],
)
def test_a_point_or_three_standard_errors_are_tolerated(
    make_accuracy: Callable[..., Accuracy], total: int, expected: float, tolerated: float
) -> None:
    assert tolerance_pp(right(make_accuracy, 1, total), expected) == pytest.approx(tolerated, abs=1e-4)


@pytest.mark.parametrize(("correct", "stops"), [(762, True), (763, False), (837, False), (838, True)])
def test_what_is_better_than_expected_stops_too(
    make_accuracy: Callable[..., Accuracy], correct: int, stops: bool
) -> None:
    accuracy = right(make_accuracy, correct, 1_000)  # 3.79 points are tolerated
    if not stops:
        require_expected(accuracy, 80)
        return
    with pytest.raises(HqpError, match="80% is expected"):
        require_expected(accuracy, 80)
