"""Progress on a log and on a terminal: steps, where the run stands, and how long the rest will take."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from hqp.run import progress
from hqp.run.progress import Progress


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    monkeypatch.setattr(progress, "SHORTEST_LOGGED_S", 0.0)
    return io.StringIO()


def test_a_log_has_a_line_for_each_step_with_what_is_left(log: io.StringIO) -> None:
    shown = Progress(Console(file=log, width=100))
    with shown.case("net-hqp", 2, 3), shown.whole({"first": 1, "second": 1e9}) as begin:
        begin("first")
        with shown.track("export", 0):
            pass
        begin("second")
        with shown.track("validation", 10) as advance:
            advance(10)
    first, second = log.getvalue().splitlines()
    assert first == "[2/3] net-hqp export: 0 s"
    assert second.startswith("[2/3] net-hqp validation: 0 s; about ")
    assert second.endswith(" left")


def test_after_the_whole_no_estimate_is_told(log: io.StringIO) -> None:
    shown = Progress(Console(file=log, width=100))
    with shown.whole({"first": 1, "second": 1}) as begin:
        begin("first")
        begin("second")
    with shown.track("latency", 0):
        pass
    assert log.getvalue() == "latency: 0 s\n"


def test_a_terminal_shows_the_whole_and_its_step(log: io.StringIO) -> None:
    shown = Progress(Console(file=log, width=100, force_terminal=True))
    with shown.case("net-hqp", 1, 1), shown.whole({"first": 1, "second": 3}) as begin:
        begin("first")
        with shown.track("export", 0):
            pass
        begin("second")
        with shown.track("validation", 10) as advance:
            advance(4)
    text = log.getvalue()
    assert "all of it" in text
    assert "25/100" in text
    assert "validation" in text
    assert " left" in text


def test_a_long_step_says_in_a_log_how_far_it_is_each_time_it_has_taken_twice_as_long(
    log: io.StringIO, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: seconds[0])
    shown = Progress(Console(file=log, width=100))
    with shown.track("validation", 10) as advance:
        for now in (10, 20, 30, 40, 50, 60, 70, 80, 90, 100):
            seconds[0] = now
            advance(1)
    assert log.getvalue().splitlines() == [
        "validation: 20%; about 80 s of it left",
        "validation: 40%; about 60 s of it left",
        "validation: 80%; about 20 s of it left",
        "validation: 100 s",
    ]


def test_a_step_of_unknown_length_says_on_a_terminal_how_long_it_has_taken(log: io.StringIO) -> None:
    shown = Progress(Console(file=log, width=100, force_terminal=True))
    with shown.track("export", 0):
        pass
    assert "0 s so far" in log.getvalue()
