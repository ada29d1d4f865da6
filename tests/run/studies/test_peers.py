"""What other tools make is measured beside HQP, and one that ends in an error takes nothing from the others."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.run.studies import peers


def test_a_tool_that_fails_is_told_in_a_line_and_the_others_make_their_files(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def write(given: Any, out: Path) -> None:
        print("Statistics collection 100%", file=sys.stderr)
        out.write_bytes(given)

    def fail(given: Any, out: Path) -> None:
        raise RuntimeError("Failed to find node output")

    tools: Any = {"first": SimpleNamespace(make=fail), "second": SimpleNamespace(make=write)}
    context: Any = SimpleNamespace(progress=SimpleNamespace(track=lambda name, total: nullcontext()))
    given: Any = b"file"
    files, failed = peers._theirs(context, given, tools, tmp_path)
    assert [(name, file.read_bytes()) for name, file in files.items()] == [("second", b"file")]
    (reason,) = failed
    assert reason.startswith("first made no file (") and "Failed to find node output" in reason
    assert capfd.readouterr() == ("", "")
