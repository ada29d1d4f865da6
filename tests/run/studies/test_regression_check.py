"""The check of CI's own judgement: what is planted in a real clone, and what counts as a right verdict."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqp.errors import HqpError
from hqp.run.selftest import slowdown
from hqp.run.selftest.slowdown import Slower
from hqp.run.studies import regression_check
from hqp.run.studies.regression_check import Clone, Judged
from hqp.store import Store

ROOT = Path(__file__).parents[3]


def repository(folder: Path, text: str) -> Path:
    """A repository that holds the file into which a slow-down is planted."""
    file = folder / regression_check.PLACE
    file.parent.mkdir(parents=True)
    file.write_text(text)
    author = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    for words in (("init", "--quiet"), ("add", "."), (*author, "commit", "--quiet", "-m", "all")):
        subprocess.run(["git", "-C", str(folder), *words], check=True)
    return folder


def test_a_slow_down_is_planted_where_the_shipped_file_is_said(tmp_path: Path) -> None:
    source = (ROOT / regression_check.PLACE).read_text(encoding="utf-8")
    clone = Clone.of(repository(tmp_path / "all", source), tmp_path / "slower")
    clone.plant()
    planted = (clone.folder / regression_check.PLACE).read_text(encoding="utf-8")
    compile(planted, regression_check.PLACE, "exec")
    changed = set(planted.splitlines()) - set(source.splitlines())
    assert changed == {
        "        from hqp.run.studies.regression_check import slowed",
        "        return slowed(self.candidates.file(self.final), self.job)",
    }
    with pytest.raises(HqpError, match=r"draft\.py does not say 'return self\.candidates\.file\(self\.final\)' once"):
        clone.plant()


def test_what_is_shipped_then_is_10_percent_slower_on_the_job_s_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def slower(context: Any, device: str, file: Path, share: float) -> Slower:
        asked.append((context.store.root, device, file, share))
        return Slower(share, share, tmp_path / "slower.onnx")

    monkeypatch.setattr(slowdown, "slower", slower)
    job = SimpleNamespace(device="cpu_onnxruntime-0123456789ab", store=Store(tmp_path))
    assert regression_check.slowed(tmp_path / "a.onnx", job) == tmp_path / "slower.onnx"
    assert asked == [(tmp_path, "cpu_onnxruntime", tmp_path / "a.onnx", 0.1)]


@pytest.mark.parametrize(
    ("branch", "code", "outcomes", "right"),
    [
        ("unchanged", 0, ("pass", "pass"), True),
        ("unchanged", 1, ("pass", "inconclusive"), False),
        ("unchanged", 1, ("pass", "fail"), False),
        ("slower", 1, ("pass", "fail"), True),
        ("slower", 1, ("inconclusive", "pass"), False),
        ("slower", 0, ("pass", "pass"), False),
        # An error is no verdict.
        ("slower", 2, ("fail",), False),
    ],
)
def test_only_the_gate_s_own_verdict_is_right(branch: str, code: int, outcomes: tuple[str, ...], right: bool) -> None:
    judged = Judged(branch, code, outcomes, 1.0)
    assert judged.is_right is right
    assert judged.row[-1] == ("right" if right else "WRONG")


def test_a_command_that_fails_in_a_clone_is_told(tmp_path: Path) -> None:
    (tmp_path / "hqp.py").write_text("import sys; sys.exit(int(sys.argv[1]))")
    clone = Clone(tmp_path)
    assert clone.run("hqp", "1", may_fail=True) == 1
    with pytest.raises(HqpError, match="hqp 2 ended with exit code 2"):
        clone.run("hqp", "2", may_fail=True)
    with pytest.raises(HqpError, match="hqp 1 ended with exit code 1"):
        clone.run("hqp", "1")
