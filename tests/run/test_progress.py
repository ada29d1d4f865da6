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
