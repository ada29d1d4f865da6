"""The promise of ``docs/extending.md``: a plug-in of any kind is one new file and no edit elsewhere.

The files of that page, one of each kind, are dropped into a copy of the package. ``hqp list``, ``hqp compress``,
``hqp bench``, a suite and ``hqp report`` then go all the way through them, in one process of that copy.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

import hqp
from hqp import catalog
from hqp.measure import PROTOCOL

PACKAGE = Path(hqp.__file__).parent
# In a checkout without an installation, pytest has no entry point that names the plug-in.
INSTALLED = any(entry.value == "hqp.plugin" for entry in entry_points(group="pytest11"))

PAGE = Path(__file__).parents[1] / "docs" / "extending.md"
FILE = re.compile(r"^`(?P<name>[\w/.]+)`:\n\n```python\n(?P<text>.*?)```$", re.MULTILINE | re.DOTALL)
FILES = {found["name"]: found["text"] for found in FILE.finditer(PAGE.read_text(encoding="utf-8"))}
# One file a kind; what stands elsewhere in the package is as it was.
NEW = {name.removeprefix("hqp/"): text for name, text in FILES.items() if name.startswith("hqp/")}

# A board that is reached over SSH, whose tool times itself: a runtime and a device.
TOOL = '''
"""A tool on another host that times itself."""

import json

import numpy as np

from hqp import transport
from hqp.runtimes import RuntimeSession

requires = ("onnxruntime",)
opens = "onnx"

def version(host) -> str:
    return host.run(("board-tool", "version")).stdout.strip()

class Session(RuntimeSession):
    def _asked(self, *words):
        return json.loads(transport.host(self.device.host).run(("board-tool", *words)).stdout)

    def outputs(self, images):
        import onnxruntime

        session = onnxruntime.InferenceSession(self.file, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])

    def time(self, iterations):
        return self._asked("time", str(iterations), str(self.file.stat().st_size))
'''

BOARD = '''
"""A board that is somewhere else."""

from hqp.records import Device, Policy

device = Device("far_tool", threads=1, precisions=("fp32",), policy=Policy(), summary="a board", host="user@board")

def facts(host):
    return {"module": host.read("/proc/device-tree/model")}
'''

FAR = {"runtimes/far_tool.py": TOOL, "devices/far_board.py": BOARD}

# The files of the board, and its programs; what it does not have, it does not tell.
BOARD_FILES = {"proc/device-tree/model": "Far Board", "proc/cpuinfo": "processor\t: 0\nmodel name\t: Far CPU\n"}
BOARD_PROGRAMS = {
    "cat": 'exec /bin/cat "$BOARD$1"',
    "uname": "echo FAR-$1",
    "getconf": "exit 1",
    "board-tool": """
        case $1 in
            version) echo 8.2;;
            time) echo "[$(yes $3.5 | head -n $2 | paste -sd ,)]";;
        esac
    """,
}
# In the place of OpenSSH's client: it runs the words, of which the last is for the shell there, with the board's PATH.
SSH = """
while [ "$1" != -- ]; do shift; done
PATH=$BOARD/bin:/usr/bin:/bin exec sh -c "$3"
"""

# What a user types, line by line; ``compress`` stands for the words that both methods share.
COMPRESS = "hqp compress new_model --weights weights.safetensors --dataset new_dataset --device new_device"
COMMANDS = (
    "hqp list --json",
    f"{COMPRESS} --method fp32 --out out/fp32 --delta-max 5 --json",
    f"{COMPRESS} --method new_method --export new_export --out out/new --delta-max 5 --json",
    "hqp bench out/fp32 out/new --device new_device --json",
    "pytest suites/new.py -q -p no:cacheprovider",
    "hqp report .hqp/results/new.json --format new_report",
    "hqp bench out/new --device far_board --json",
)

DRIVER = """
import contextlib, io, json, shlex, sys
import pytest
from hqp.cli import main
from hqp.models.new_model import build
from safetensors.torch import save_file

save_file(build(3).state_dict(), "weights.safetensors")
answers = []
for line in json.loads(sys.argv[1]):
    program, *words = shlex.split(line)
    shown = io.StringIO()
    with contextlib.redirect_stdout(shown):
        code = main(words) if program == "hqp" else int(pytest.main(words))
    answers.append([line, code, shown.getvalue()])
print(json.dumps(answers))
"""


@dataclass(frozen=True)
class Extended:
    """The copy with the new files, and what each command said there."""

    root: Path
    answers: dict[str, str]

    def said(self, start: str) -> str:
        (answer,) = (text for line, text in self.answers.items() if line.startswith(start))
        return answer

    def told(self, start: str) -> Any:
        return json.loads(self.said(start))


def far_away(board: Path) -> Path:
    """Sets the board up; the folder of the client that reaches it."""
    client, programs = board.with_name("client"), board / "bin"
    for name, text in BOARD_FILES.items():
        (board / name).parent.mkdir(parents=True, exist_ok=True)
        (board / name).write_text(text)
    for folder, scripts in ((client, {"ssh": SSH}), (programs, BOARD_PROGRAMS)):
        folder.mkdir()
        for name, script in scripts.items():
            (folder / name).write_text(f"#!/bin/sh\n{script}\n")
            (folder / name).chmod(0o755)
    return client


@pytest.fixture(scope="module")
def extended(tmp_path_factory: pytest.TempPathFactory) -> Extended:
    root = tmp_path_factory.mktemp("extended")
    shutil.copytree(PACKAGE, root / "hqp", ignore=shutil.ignore_patterns("__pycache__"))
    for name, source in {**NEW, **FAR}.items():
        (root / "hqp" / name).write_text(source, encoding="utf-8")
    (root / "suites").mkdir()
    (root / "suites" / "new.py").write_text(FILES["suites/new.py"], encoding="utf-8")
    (root / "pytest.ini").write_text("[pytest]\n" + ("" if INSTALLED else "addopts = -p hqp.plugin\n"))
    path = f"{far_away(root / 'board')}{os.pathsep}{os.environ['PATH']}"
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "OMP_NUM_THREADS": "1",
        "PATH": path,
        "BOARD": f"{root}/board",
    }
    command = [sys.executable, "-c", DRIVER, json.dumps(COMMANDS)]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    answers = json.loads(done.stdout)
    assert [(line, code) for line, code, _ in answers] == [(line, 0) for line in COMMANDS], answers
    return Extended(root, {line: text for line, _, text in answers})


def test_every_kind_of_plugin_is_tried() -> None:
    assert {Path(name).parent.name for name in NEW} == set(catalog.KINDS)


def test_what_was_tried_is_the_copy_with_new_files_and_no_edit(extended: Extended) -> None:
    copied = {file.relative_to(extended.root / "hqp"): file for file in (extended.root / "hqp").rglob("*.py")}
    for name, file in copied.items():
        if name.as_posix() not in {**NEW, **FAR}:
            assert file.read_bytes() == (PACKAGE / name).read_bytes()


def test_every_new_file_is_listed_with_its_first_sentence(extended: Extended) -> None:
    listed = {(one["kind"], one["name"]): one["summary"] for one in extended.told("hqp list")}
    for name, source in NEW.items():
        kind, file = Path(name).parts
        first = source.strip().removeprefix('"""').partition('"""')[0]
        assert listed[kind, Path(file).stem] == first


def test_an_artefact_is_made_of_the_new_model_by_the_new_method(extended: Extended) -> None:
    sidecar = extended.told(f"{COMPRESS} --method new_method")["sidecar"]
    named = (sidecar["network"]["source"], sidecar["images"]["dataset"], sidecar["settings"]["method"])
    assert named == ("new_model", "new_dataset", "new_method")
    assert sidecar["choices"]["ranking"] == "new_criterion(slope=2.0)"
    assert sidecar["origin"]["versions"]["runtime"] == "new_runtime 7.0 here"
    trained, filters = sidecar["accuracy"]["fp32"], sidecar["filters"]
    assert trained["correct"] == trained["total"] == 256
    assert filters["kept"] <= 0.75 * filters["total"]


def test_the_artefact_is_exported_and_its_sidecar_says_how_that_agrees(extended: Extended) -> None:
    (told,) = extended.told(f"{COMPRESS} --method new_method")["sidecar"]["exports"]
    backwards = (extended.root / "out/new/new_export/model.backwards").read_bytes()
    assert backwards[::-1] == (extended.root / "out/new/model.onnx").read_bytes()
    assert (told["name"], list(told["files"]), told["images"]) == ("new_export", ["model.backwards"], 100)
    assert told["agreement"] == 1.0 and told["cosine"] > 0.999999


def test_the_new_board_is_measured_by_its_own_clock(extended: Extended) -> None:
    fp32, new = extended.told("hqp bench out/fp32")["measurements"]
    assert new["environment"]["facts"]["board"] == "new"
    for measured in (fp32, new):
        engine_bytes = len(b"engine") + measured["sidecar"]["file"]["size_bytes"]
        times = {time for block in measured["latency"]["blocks"] for time in block["candidate_ms"]}
        assert times == {engine_bytes / 1e3}
        metrics = {metric["name"]: metric["samples"] for metric in measured["metrics"]}
        # Its own process would say nothing of a tool that runs elsewhere: there is no peak memory.
        assert metrics == {"header": [len(b"engine")], "size": [engine_bytes]}


def test_the_new_gate_judges_and_the_new_report_shows(extended: Extended) -> None:
    results = json.loads((extended.root / ".hqp" / "results" / "new.json").read_text())
    judged = {(one["gate"], one["case"]["method"]): one["verdict"]["outcome"] for one in results["judgements"]}
    assert judged == {("new_gate", "new_method"): "pass", ("speedup", "new_method"): "pass"}
    assert extended.said("hqp report") == "new_model-new_method-new_device new_model-fp32-new_device\n"


def test_an_engine_is_built_once_for_each_file_that_was_opened(extended: Extended) -> None:
    built = (extended.root / "built").read_text().split()
    assert len(built) == len(set(built)) > 1


def test_a_board_elsewhere_that_times_itself_is_a_runtime_and_a_device(extended: Extended) -> None:
    """It is asked itself: nothing of this machine stands in its environment, and no process here is its memory."""
    (measured,) = extended.told("hqp bench out/new --device far_board")["measurements"]
    size = measured["sidecar"]["file"]["size_bytes"]
    times = {time for block in measured["latency"]["blocks"] for time in block["candidate_ms"]}
    assert times == {size + 0.5}
    facts = measured["environment"]["facts"]
    assert (facts.pop("threads"), facts.pop("protocol")) == ("1", PROTOCOL)
    assert facts == {
        "module": "Far Board",
        "cpu": "Far CPU",
        "architecture": "far--m",
        "system": "FAR--s",
        "runtime": "far_tool 8.2",
    }
    assert [metric["name"] for metric in measured["metrics"]] == ["header", "size"]
