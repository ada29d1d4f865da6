"""What other tools make is measured beside HQP, and one that ends in an error takes nothing from the others."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.run.studies import peers
from hqp.suite import Model


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


def test_files_are_judged_as_the_job_judges_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A model may say how its images are read, which the job knows."""
    files = {method: tmp_path / f"{method}.onnx" for method in ("fp32", "hqp")}
    accuracies = {file: SimpleNamespace(of=file) for file in files.values()}
    job = SimpleNamespace(test=lambda file: SimpleNamespace(accuracy=accuracies[file]))
    monkeypatch.setattr(peers, "_ours", lambda context, request: files)
    monkeypatch.setattr(peers, "prepared_job", lambda context, request, recipe: job)
    monkeypatch.setattr(peers, "_given", lambda job, plain: None)
    monkeypatch.setattr(peers, "_row", lambda context, device, *row: row)
    case = peers.Case(Model("mine"), "photos", "cpu_openvino", 100)
    table, failed, trained = peers.rows(SimpleNamespace(), case, {})  # type: ignore[arg-type]
    plain = files["fp32"]
    assert table == [(name, file, plain, accuracies[plain], accuracies[file]) for name, file in files.items()]
    assert (failed, trained) == ([], accuracies[plain])
