"""From artefacts to verdicts on a simulated board, over SSH, with the commands that a user types."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
XAVIER_NX = ("nvidia,p3509-0000+p3668-0001\0nvidia,tegra194\0", "# R35 (release), REVISION: 3.1", "17000000.gv11b")
MODES = "0 MODE_15W_6CORE, 1 MODE_10W_2CORE"

SUITE = '''
"""Squares on a board: INT8 keeps the bound."""

from hqp import Gate, Suite

suite = Suite(
    models=("squarenet",),
    dataset="squares",
    devices=("jetson_xavier_nx",),
    methods=("fp32", "q8"),
    delta_max_pp=5.0,
    test_images=64,
    rounds=2,
    disturbed="kept",
    gates=(Gate("accuracy_drop", methods="q8", max_pp=20.0), Gate("size", methods="q8", max_ratio=0.9)),
)
'''


@pytest.fixture(scope="module")
def artefacts(project: Path, run_all: Any) -> Path:
    """FP32 and INT8 of the squares' network, as TensorRT takes them, in the folder of the device."""
    folder = project / "artefacts"
    asked = "compress squarenet --dataset squares --device jetson_xavier_nx"
    outs = {method: folder / "jetson_xavier_nx" / f"squarenet-{method}" for method in ("fp32", "q8")}
    for done in run_all(*(f"{asked} --method {method} --out {out}" for method, out in outs.items())):
        assert done.returncode == 0, done.stderr
    (project / "suites" / "board.py").write_text(SUITE)
    return folder


def test_a_board_is_measured_and_judged_from_a_desk(board, project: Path, run: Any, artefacts: Path) -> None:
    """The session that CI runs, in this environment instead of one of its own; all numbers are simulated."""
    board.install("8.5.2")
    board.be_a(*XAVIER_NX, modes=MODES)
    shutil.copy(REPOSITORY / "noxfile.py", project)
    nox = ("-m", "nox", "--no-venv", "--no-install", "-s", "jetson-bench", "--")
    done = run(*nox, "--host", board.name, "artefacts", "--suite", "suites/board.py")
    assert done.returncode == 0, done.stdout + done.stderr
    results = json.loads((project / ".hqp/results" / f"jetson-{board.name}.json").read_text())
    verdicts = {(one["gate"], one["case"]["method"]): one["verdict"]["outcome"] for one in results["judgements"]}
    assert verdicts == {("accuracy_drop", "q8"): "pass", ("size", "q8"): "pass"}
    by_method = {one["case"]["method"]: one for one in results["measurements"]}
    facts = by_method["q8"]["environment"]["facts"]
    assert facts["module"] == "p3668-0001"
    assert (facts["l4t"], facts["jetpack"], facts["runtime"]) == ("35.3.1", "5.1.1", "trtexec 8.5.2")
    # The board's outputs are those of onnxruntime on the same files, so its counts are those of the desk.
    assert by_method["q8"]["accuracy"]["total"] == 64
    assert by_method["q8"]["accuracy"]["correct"] > 32
    # 50 ms of each file at least, at a simulated 0.2 ms and some an inference.
    for block in by_method["q8"]["latency"]["blocks"]:
        assert min(len(block[arm]) for arm in ("reference_ms", "candidate_ms")) > 100
    assert board.left() == []
    assert "simulated-board" in done.stdout or "jetson_xavier_nx" in done.stdout


def test_one_case_that_fails_leaves_the_others(board, project: Path, run: Any, artefacts: Path) -> None:
    board.install("8.5.2")
    board.write("/no-int8", "")
    # As in the other test: what FP32 needs is found in the store.
    board.be_a(*XAVIER_NX, modes=MODES)
    words = ("--host", board.name, "--suite", "suites/board.py", "--results", "board.json")
    done = run("-m", "hqp", "bench", str(artefacts), *words)
    assert done.returncode == 2
    said = "hqp: error: squarenet-q8-jetson_xavier_nx: the GPU of simulated-board has no INT8; an FP16 artefact"
    assert said in done.stderr
    measured = json.loads((project / "board.json").read_text())["measurements"]
    assert [one["case"]["method"] for one in measured] == ["fp32"]


def test_without_a_board_one_line_says_so(project: Path, artefacts: Path) -> None:
    environment = {**os.environ, "HQP_HOST": ""}
    words = [sys.executable, "-m", "hqp", "bench", str(artefacts)]
    done = subprocess.run(words, cwd=project, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        "hqp: error: no device was named, and here is no board that one recognises; "
        "--device NAME, or --host USER@BOARD; try: hqp list devices\n"
    )


def test_doctor_asks_the_board(board, run: Any) -> None:
    board.install("10.3.0")
    board.be_a(
        "nvidia,p3768-0000+p3767-0005-super\0nvidia,tegra234\0", "# R36 (release), REVISION: 4.3", "17000000.gpu"
    )
    board.clock("17000000.gpu", 306_000_000, 306_000_000, 1_020_000_000)
    program = "import os; os.environ['HQP_HOST'] = 'simulated-board'; from hqp.run.doctor import doctor\n"
    program += "found = {one.name: (one.usable, one.state) for one in doctor() if one.kind == 'device'}\n"
    program += "print(*found['jetson_orin_nano']); print(*found['jetson_thor']); print(*found['cpu_onnxruntime'])"
    orin, thor, cpu = run("-c", program).stdout.splitlines()
    assert orin.startswith("False simulated-board has a GPU clock that is not locked (306 to 1020 MHz)")
    assert thor.startswith("False simulated-board is no Jetson Thor: its device tree names p3768-0000, p3767-0005")
    assert cpu == "True ready"


def test_each_host_gets_a_process_and_results_of_its_own() -> None:
    spec = importlib.util.spec_from_file_location("noxfile", REPOSITORY / "noxfile.py")
    assert spec is not None and spec.loader is not None
    noxfile = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(noxfile)
    hosts, others = noxfile._hosts(["--host", "user@nano", "--device", "jetson_nano", "--host=xavier", "out"])
    assert (hosts, others) == (["user@nano", "xavier"], ["--device", "jetson_nano", "out"])
    given = ["bench", "artefacts", "--suite", "suites/jetson_signs.py"]
    there = ["--host", "user@nano", "--results", str(Path(".hqp/results/jetson-user_nano.json"))]
    assert noxfile._bench_words("user@nano", []) == [*given, *there]
    assert noxfile._bench_words("", ["out"]) == [
        "bench",
        "out",
        "--results",
        str(Path(".hqp/results/jetson-here.json")),
    ]


def test_a_host_that_cannot_be_reached(board, run: Any, artefacts: Path) -> None:
    done = run("-m", "hqp", "bench", str(artefacts), "--host", "silent", "--device", "jetson_xavier_nx")
    assert done.returncode == 2
    assert done.stderr.startswith("hqp: error: the connection to silent broke: ")
    assert len(done.stderr.splitlines()) == 1
