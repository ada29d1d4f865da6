"""The pages of ``docs/`` are executed: their files are written, their commands run as they stand there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

DOCS = Path(__file__).parents[1] / "docs"
FILE = re.compile(r"^`(?P<name>[\w/.]+)`:\n\n```python\n(?P<text>.*?)```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^    \$ (?P<words>.+)$", re.MULTILINE)
# In a checkout without an installation, pytest has no entry point that names the plug-in.
INSTALLED = any(entry.value == "hqp.plugin" for entry in entry_points(group="pytest11"))
COLOURS = {"blue": (60, 60, 200), "green": (60, 200, 60), "red": (200, 60, 60)}

TRAIN = """
import numpy as np, torch
from nets.mine import build
from hqp import catalog
from hqp.records import Reading

reading = Reading(mean=(0.5,) * 3, std=(0.25,) * 3)
samples = catalog.load("datasets", "image_folder:photos").load("train", None, reading)
torch.manual_seed(0)
model = build(3).train()
optimizer = torch.optim.Adam(model.parameters(), 3e-3)
for step in range(30):
    chosen = np.random.default_rng(step).integers(0, len(samples), 64)
    images = torch.from_numpy(samples.normalised(samples.read(chosen, 32)))
    loss = torch.nn.functional.cross_entropy(model(images), torch.from_numpy(samples.labels[chosen]))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
torch.save({"state_dict": {f"module.{name}": value for name, value in model.state_dict().items()}}, "mine.pt")
"""


def photos(folder: Path, part: str, count: int) -> None:
    """Noise that leans to one colour, ``count`` images of each."""
    for label, (name, colour) in enumerate(COLOURS.items()):
        (folder / part / name).mkdir(parents=True)
        for index in range(count):
            noise = np.random.default_rng([label, index, len(part)]).normal(colour, 40, (32, 32, 3))
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(folder / part / name / f"{index:04}.bmp")


def run(words: list[str], folder: Path, codes: tuple[int, ...] = (0,)) -> str:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(folder)}
    if not INSTALLED:
        environment["PYTHONPATH"] += os.pathsep + str(DOCS.parent)
        environment["PYTEST_ADDOPTS"] = "-p hqp.plugin"
    done = subprocess.run(
        [sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL
    )
    assert done.returncode in codes, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
    return done.stdout


def write_files(page: str, folder: Path) -> None:
    """The files that a page tells its reader to write."""
    for found in FILE.finditer((DOCS / page).read_text(encoding="utf-8")):
        file = folder / found["name"]
        file.parent.mkdir(exist_ok=True)
        file.write_text(found["text"], encoding="utf-8")


def follow(page: str, folder: Path, programs: list[str]) -> list[str]:
    """What each command of a page says, but for an installation that comes first; ``programs`` are those it names."""
    text = (DOCS / page).read_text(encoding="utf-8")
    commands = [shlex.split(found["words"]) for found in COMMAND.finditer(text)]
    typed = [words for words in commands if words[0] != "pip"]
    assert [words[0] for words in typed] == programs
    said = []
    for words in typed:
        # On a busy machine it is not shown that two runtimes are as fast.
        codes = (0, 1) if "--against-environment" in words else (0,)
        said.append(run(words[1:] if words[0] == "python" else ["-m", *words], folder, codes))
    return said


@pytest.fixture(scope="module")
def own_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The folder in which the page on one's own model was followed, and what its commands said."""
    folder = tmp_path_factory.mktemp("own-model")
    write_files("own-model.md", folder)
    photos(folder / "photos", "train", 200)
    photos(folder / "photos", "val", 500)
    run(["-c", TRAIN], folder)
    return folder, follow("own-model.md", folder, ["hqp", "hqp", "python", "pytest", "pytest", "hqp"])


def test_one_s_own_model_is_compressed_and_gated(own_model: tuple[Path, list[str]]) -> None:
    folder, said = own_model
    assert "exported as openvino" in said[0] and "next: hqp bench out/mine" in said[0]
    assert said[2].startswith("Net(")
    assert "gates: 1 passed" in said[3] and (folder / "baselines").is_dir()


def test_gates_are_tried_selected_and_compared(own_model: tuple[Path, list[str]]) -> None:
    folder, _ = own_model
    python = folder / "old-venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    author = ("-c", "user.name=a", "-c", "user.email=a@localhost")
    for words in (("init", "-q"), ("add", "baselines"), (*author, "commit", "-q", "-m", "baselines")):
        subprocess.run(["git", *words], cwd=folder, check=True)
    said = follow("gates.md", folder, ["python", "hqp", "hqp", "pytest", "hqp", "hqp"])
    assert said[0].startswith("| one arm hit in ") and "the same file: false alarms" in said[2]
    assert "gates: 1 passed, 0 failed" in said[3] and re.search(": (pass|fail|inconclusive): ", said[4])
    assert said[5] == "no difference\n"


def test_a_first_suite_passes_and_is_reported(tmp_path: Path) -> None:
    write_files("first-suite.md", tmp_path)
    said = follow("first-suite.md", tmp_path, ["hqp", "pytest", "hqp", "hqp", "pytest", "hqp"])
    assert "accuracy_drop" in said[0] and "gates: 2 passed, 0 failed" in said[1]
    assert "gates: 2 passed, 0 failed" in said[2] and said[3].startswith("model,method,device,")
    assert len(list((tmp_path / "baselines" / "files").glob("*.onnx"))) == 2
