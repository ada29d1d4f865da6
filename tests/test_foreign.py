"""Whatever code that is not HQP's raises is told in one line, with where it was raised."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hqp.errors import HqpError
from hqp.foreign import foreign, without_telemetry


def run(code: str, file: Path) -> None:
    with foreign("net.py cannot be imported", "code that runs", "python net.py"):
        exec(compile(code, str(file), "exec"))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("\n\n1 / 0", "ZeroDivisionError: division by zero, net.py line 3"),
        ("raise KeyError", "KeyError, net.py line 1"),
        ("import sys\nsys.exit(3)", "SystemExit: 3, net.py line 2"),
        ("raise ValueError('one\\ntwo')", "ValueError: one, net.py line 1"),
        # What is raised in a library is told of the user's line that called it.
        ("import json\njson.loads('{')", "line 2"),
    ],
)
def test_a_mistake_is_told_with_its_line(tmp_path: Path, code: str, said: str) -> None:
    with pytest.raises(HqpError) as told:
        run(code, tmp_path / "net.py")
    text = str(told.value)
    assert text.startswith("net.py cannot be imported (") and said in text
    assert text.endswith("; code that runs; try: python net.py") and "\n" not in text


@pytest.mark.parametrize("kind", [MemoryError, KeyboardInterrupt])
def test_lack_of_memory_and_ctrl_c_stay_what_they_are(kind: type[BaseException]) -> None:
    with pytest.raises(kind), foreign("net.py"):
        raise kind


def test_a_refusal_of_hqp_stays_what_it_is() -> None:
    refusal = HqpError("wrong", "right", "fix")
    with pytest.raises(HqpError) as told, foreign("net.py"):
        raise refusal
    assert told.value is refusal


def test_a_package_is_imported_while_its_sender_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sender_of_reports.py").write_text("SENT = True\n")
    (tmp_path / "package_that_reports.py").write_text(
        "try:\n    import sender_of_reports\n    SENT = True\nexcept ImportError:\n    SENT = False\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    assert without_telemetry("package_that_reports", "sender_of_reports").SENT is False
    assert "sender_of_reports" not in sys.modules, "and others may import it"
