"""What is left of a run: learnt from the stages that are done, and of what was found in the store nothing."""

from __future__ import annotations

import pytest

from hqp.run.remaining import Remaining, rounded


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_nothing_is_known_before_a_stage_is_done(clock: Clock) -> None:
    remaining = Remaining({"a": 10, "b": 30}, clock)
    remaining.begin("a")
    clock.seconds = 5
    assert remaining.seconds is None
    assert remaining.share_done == 0


def test_a_stage_that_is_done_tells_how_fast_the_rest_will_be(clock: Clock) -> None:
    remaining = Remaining({"a": 10, "b": 30, "c": 60}, clock)
    remaining.begin("a")
    remaining.worked()
    clock.seconds = 20
    remaining.begin("b")
    assert remaining.seconds == 2 * (30 + 60)
    assert remaining.share_done == pytest.approx(0.1)
    clock.seconds = 30
    assert remaining.seconds == 2 * (30 + 60) - 10


def test_a_stage_that_takes_longer_than_expected_is_almost_done(clock: Clock) -> None:
    remaining = Remaining({"a": 10, "b": 10, "c": 10}, clock)
    remaining.begin("a")
    remaining.worked()
    clock.seconds = 10
    remaining.begin("b")
    clock.seconds = 100
    assert remaining.seconds == 10


def test_a_run_that_ends_by_the_clock_takes_no_longer_than_that(clock: Clock) -> None:
    clock.seconds = 100
    remaining = Remaining({"a": 10, "b": 10, "c": 1000}, clock, most_seconds=60)
    remaining.begin("a")
    remaining.worked()
    clock.seconds = 110
    remaining.begin("b")
    assert remaining.seconds == 50
    clock.seconds = 200
    assert remaining.seconds == 0


def test_what_was_found_in_the_store_tells_no_speed(clock: Clock) -> None:
    remaining = Remaining({"a": 10, "b": 10, "c": 10, "d": 10}, clock)
    remaining.begin("a")
    clock.seconds = 0.1
    remaining.begin("b")
    assert remaining.seconds is None
    remaining.worked()
    clock.seconds = 10.1
    remaining.begin("c")
    clock.seconds = 10.2
    remaining.begin("d")
    assert remaining.seconds == pytest.approx(10)


def test_a_stage_that_was_not_foreseen_changes_nothing(clock: Clock) -> None:
    remaining = Remaining({"a": 10, "b": 10}, clock)
    remaining.begin("a")
    remaining.worked()
    clock.seconds = 10
    remaining.begin("surprise")
    remaining.worked()
    clock.seconds = 60
    remaining.begin("b")
    assert remaining.seconds == 10


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "10 s"), (44, "40 s"), (89, "90 s"), (90, "2 min"), (240, "4 min"), (5399, "90 min"), (7200, "2.0 h")],
)
def test_durations_are_rounded_to_what_one_says(seconds: float, text: str) -> None:
    assert rounded(seconds) == text
