"""``hqp init`` writes a suite that pytest takes and a workflow that runs it, or nothing."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import hqp
from hqp import cli
from hqp.errors import HqpError
from hqp.run.init import WORKFLOW, init

Captured = pytest.CaptureFixture[str]


def write(folder: Path, **changes: str | None) -> tuple[Path, ...]:
    words = {
        "name": "first", "model": "mobilenet_v3_small", "weights": None, "dataset": "signs", "device": "cpu_openvino",
    }  # fmt: skip
    return init(folder, **{**words, **changes})  # type: ignore[arg-type]


def collected(folder: Path) -> list[str]:
    """The tests that the workflow's own command finds."""
    command = next(line for line in (folder / WORKFLOW).read_text().splitlines() if "run: pytest" in line)
    words = shlex.split(command.partition("run: pytest ")[2])
    environment = {**os.environ, "PYTHONPATH": str(Path(hqp.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "hqp.plugin", "--collect-only", "-q", *words],
        cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return [line for line in done.stdout.splitlines() if "::" in line]


def test_the_workflow_finds_every_gate_of_the_suite(tmp_path: Path) -> None:
    suite, workflow = write(tmp_path)
    assert (suite, workflow) == (tmp_path / "suites" / "first.py", tmp_path / WORKFLOW)
    case = "suites/first.py::mobilenet_v3_small-hqp-cpu_openvino"
    found = collected(tmp_path)
    for gate in ("accuracy_drop", "size", "latency_regression"):
        assert f"{case}::{gate}" in found
    assert found[-1] == "suites/first.py::coverage"


def test_a_model_of_ones_own_stands_with_its_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text("def build(num_classes):\n    raise AssertionError('not built here')\n")
    (tmp_path / 'my "w".pt').write_bytes(b"")
    (tmp_path / "photos").mkdir()
    suite, _ = write(Path(), model="net.py:build", weights='my "w".pt', dataset="image_folder:photos")
    assert 'Model("net.py:build", weights="my \\"w\\".pt", name="net")' in suite.read_text()
    assert 'dataset="image_folder:photos"' in suite.read_text()


def test_what_an_image_becomes_stands_in_the_suite(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init", "--mean", "0.5,0.5,0.5", "--crop", "0.9", "--interpolation", "bicubic"]) == 0
    text = Path("suites/first.py").read_text()
    said = '    crop=0.9,\n    interpolation="bicubic",\n    mean=(0.5, 0.5, 0.5),\n    devices='
    assert said in text
    assert cli.main(["init", "--mean", "0.5", "--name", "second"]) == 2
    assert "three numbers" in capsys.readouterr().err


def test_a_second_suite_leaves_the_workflow_alone(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / WORKFLOW).write_text("mine")
    assert write(tmp_path, name="second") == (tmp_path / "suites" / "second.py",)
    assert (tmp_path / WORKFLOW).read_text() == "mine"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "resnet81"}, "unknown model 'resnet81'"),
        ({"device": "cpu_openvin"}, "unknown device 'cpu_openvin'"),
        ({"dataset": "sings"}, "unknown dataset 'sings'"),
        ({"name": "../x"}, "'../x' is no name of a suite"),
        ({"weights": "gone.pt"}, "gone.pt"),
    ],
)
def test_what_is_wrong_is_told_and_nothing_is_written(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(HqpError, match=message):
        write(tmp_path, **changes)
    assert list(tmp_path.iterdir()) == []


def test_a_suite_that_exists_is_kept(tmp_path: Path) -> None:
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "first.py").write_text("mine")
    with pytest.raises(HqpError, match=r"first\.py exists.*--name first_2"):
        write(tmp_path)
    assert (tmp_path / "suites" / "first.py").read_text() == "mine"
    assert not (tmp_path / WORKFLOW).exists()


def test_the_command_says_the_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["init"]) == 0
    assert capsys.readouterr().out == (
        "wrote suites/first.py\nwrote .github/workflows/hqp.yml\nnext: pytest suites/first.py\n"
    )
    assert cli.main(["init", "--name", "second", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == ["suites/second.py"]
