"""Numbers are told with as many decimals as tell them from the limit."""

from __future__ import annotations

import pytest

from hqp.gates import _wording
from hqp.records import Estimate, Rerun


@pytest.mark.parametrize(
    ("value", "lower", "upper", "places"),
    [(1.4, 1.2, 1.6, 2), (1.4999, 1.2, 1.6, 4), (1.49999999, 1.2, 1.6, 8), (1.5, 1.5, 1.5, 2)],
)
def test_no_number_looks_like_the_limit_without_being_it(value: float, lower: float, upper: float, places: int) -> None:
    assert _wording.decimals(Estimate(value, lower, upper, 0.9), 1.5) == places


def test_an_interval_says_its_confidence() -> None:
    estimate = Estimate(2.414, 2.38, 2.449, 0.9)
    assert _wording.interval(estimate, "x", 2) == "2.41x (90% interval 2.38 to 2.45)"


def test_a_limit_that_would_pass_is_rounded_away_from_failing() -> None:
    assert _wording.rounded(1.231, _wording.UP) == "1.24" and _wording.rounded(1.239, _wording.DOWN) == "1.23"


def test_what_would_decide_is_told_or_that_nothing_will() -> None:
    assert _wording.more_rounds(40) == "about rounds=40 in the suite would decide"
    assert _wording.more_rounds(None) == "more rounds would hardly decide"
    assert _wording.more_images(12000) == "about 12,000 images would decide"
    assert _wording.more_images(None) == "more images would hardly decide"


def test_a_baseline_from_elsewhere_is_told_to_have_run_here() -> None:
    assert _wording.baseline(Rerun("e" * 64)) == "the baseline's artefact"
    told = _wording.baseline(Rerun("e" * 64, elsewhere=("cpu", "os")))
    assert told == "the baseline's artefact (recorded with another cpu, os; rerun here)"
    assert _wording.missing(Rerun("e" * 64, missing="try: X")) == "artefact missing: try: X"


@pytest.mark.parametrize(
    ("count", "outcome", "reason"),
    [
        (8_000_000, "pass", "8,000,000 bytes, within 8,000,000"),
        (8_000_001, "fail", "8,000,001 bytes, above 8,000,000; max_bytes=8000001 would pass"),
    ],
)
def test_a_count_of_bytes_is_exact(count: int, outcome: str, reason: str) -> None:
    exact = Estimate(float(count), float(count), float(count), 1.0)
    assert _wording.exact_bytes(count, 8e6) == (outcome, reason, exact)
