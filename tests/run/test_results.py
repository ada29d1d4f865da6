"""Where results stand, and how their path is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqp.records import Results
from hqp.run.results import path_of, results, shown


def test_results_stand_below_the_store_by_suite() -> None:
    assert path_of(Path(".hqp"), "folder/signs") == Path(".hqp/results/folder/signs.json")


def test_a_path_is_shown_as_it_is_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shown(tmp_path / "a" / "b.json") == Path("a/b.json")
    assert shown(Path("/elsewhere/b.json")) == Path("/elsewhere/b.json")


@pytest.mark.parametrize(
    ("program", "command"), [("/usr/bin/hqp", "hqp bench x"), ("/lib/hqp/__main__.py", "python -m hqp bench x")]
)
def test_a_run_says_by_which_command_it_was_made(program: str, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [program, "bench", "x"])
    made = results("bench", "what they do", (), ())
    assert (made.command, made.suite, made.question) == (command, "bench", "what they do")
    assert made.schema_version == Results.SCHEMA and made.machine and made.date.endswith(" UTC")
