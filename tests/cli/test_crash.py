"""An error that nobody foresaw is one line, and a file with the details."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqp.cli.crash import CRASHED, report_crash


def crashed() -> Exception:
    try:
        raise RuntimeError("first\n  second")
    except RuntimeError as error:
        return error


def test_the_details_are_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report_crash(crashed()) == CRASHED == 70
    (file,) = Path(".hqp").glob("crash-*.txt")
    said = capsys.readouterr().err
    assert said == (
        "hqp: internal error: RuntimeError: first second; this is a fault of HQP, please report it;"
        f" details: in {file}\n"
    )
    details = file.read_text()
    assert details.startswith("hqp ") and "command: " in details and 'raise RuntimeError("first' in details


def test_where_no_file_can_be_written_they_stand_above(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".hqp").write_text("no folder")
    assert report_crash(crashed()) == CRASHED
    *details, last = capsys.readouterr().err.splitlines()
    assert any("Traceback" in line for line in details) and last.endswith("details: above")
