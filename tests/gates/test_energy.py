"""The gate on energy of one inference."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from hqp.errors import NotApplicable
from hqp.gates import energy
from hqp.records import Measurement, Metric


def judged(make_measurement: Callable[..., Measurement], samples: tuple[float, ...], max_mj: float) -> tuple[str, str]:
    verdict = energy.check(make_measurement(metrics=(Metric("energy", "mJ", samples),)), max_mj=max_mj)
    assert verdict.limits == {"max_mj": max_mj}
    return verdict.outcome, verdict.reason


@pytest.mark.parametrize(
    ("max_mj", "outcome", "reason"),
    [
        (12.5, "pass", "12.00 mJ an inference (11.50 to 12.50 in 3 windows) is within 12.50 mJ"),
        (
            11.0,
            "fail",
            "12.00 mJ an inference (11.50 to 12.50 in 3 windows) is above 11.00 mJ; max_mj=12.50 would pass",
        ),
        (
            12.1,
            "inconclusive",
            "12.00 mJ an inference (11.50 to 12.50 in 3 windows) is within or above 12.10 mJ from window to window; "
            "a cooler, steadier board would decide",
        ),
    ],
)
def test_the_range_of_the_windows_decides(
    make_measurement: Callable[..., Measurement], max_mj: float, outcome: str, reason: str
) -> None:
    assert judged(make_measurement, (12.0, 12.5, 11.5), max_mj) == (outcome, reason)


def test_the_range_covers_the_median_so_often(make_measurement: Callable[..., Measurement]) -> None:
    """Of three windows all fall on one side of the median once in four times."""
    measurement = make_measurement(metrics=(Metric("energy", "mJ", (12.0, 12.5, 11.5)),))
    estimate = energy.check(measurement, max_mj=1).estimate
    assert estimate is not None
    assert (estimate.value, estimate.lower, estimate.upper, estimate.confidence) == (12.0, 11.5, 12.5, 0.75)


def test_where_power_is_not_measured_there_is_nothing_to_judge(make_measurement: Callable[..., Measurement]) -> None:
    with pytest.raises(NotApplicable, match="power is not measured on cpu_openvino"):
        energy.check(make_measurement(metrics=()), max_mj=1)
