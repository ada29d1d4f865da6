"""A user's own repository: a dataset, a model, a method and a device of his own as plug-ins, weights, a suite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DATASET = '''
"""Coloured squares in noise: four classes, told apart by colour and place."""

import hashlib
import numpy as np
from hqp.records import Samples

requires = ()
native_size = 16
COUNTS = {"train": 512, "calibration": 128, "selection": 2048, "test": 2048}

def load(split, root=None, reading=None):
    count = COUNTS[split]
    labels = np.arange(count, dtype=np.int64) % 4
    digest = hashlib.sha256(f"squares/{split}/{count}".encode()).hexdigest()

    def read(indices, size):
        images = np.empty((len(indices), size, size, 3), np.uint8)
        for place, index in enumerate(indices):
            draw = np.random.default_rng([sorted(COUNTS).index(split), int(index)])
            image = draw.normal(110, 45, (size, size, 3))
            top, left = draw.integers(0, size // 2, 2)
            label = int(labels[index])
            image[top:top + size // 3, left:left + size // 3, label % 3] += 45 if label < 3 else -60
            images[place] = np.clip(image, 0, 255)
        return images

    names = ("red", "green", "blue", "cyan")
    return Samples("squares", split, labels, names, (0.45,) * 3, (0.2,) * 3, digest, read)
'''

MODEL = '''
"""A residual network of two blocks."""

requires = ("torch",)
input_size = 16
weights = None

def build(num_classes):
    from torch import nn

    class Block(nn.Module):
        def __init__(self, channels):
            super().__init__()
            self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.bn1 = nn.BatchNorm2d(channels)
            self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
            self.bn2 = nn.BatchNorm2d(channels)

        def forward(self, x):
            y = self.bn1(self.conv1(x)).relu()
            return (x + self.bn2(self.conv2(y))).relu()

    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        Block(16), nn.MaxPool2d(2), Block(16),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, num_classes),
    )
'''

TRAIN = """
from pathlib import Path
from hqp.compress.training import TrainingRecipe
from hqp.run.train import train
recipe = TrainingRecipe(phases=((16, 12),), batch=32, learning_rate=5e-3)
train("squarenet", "squares", Path("fixtures"), recipe=recipe, threads=1)
"""

METHOD = '''
"""What hqp does where nothing is timed, so that a busy machine chooses as an idle one does."""

from hqp.records import Pruning, Quantization, Ranking, Recipe, Recovery

recipe = Recipe(
    pruning=Pruning(rankings=(Ranking("fisher_refit", per="mac"),), recovery=Recovery()),
    quantization=Quantization(),
    objective="macs",
    give_back=True,
    alpha=0.05,
)
'''

DEVICE = '''
"""A board that computes in FP16 and has no INT8; onnxruntime here stands for its engine."""

from hqp.records import Device, Policy

device = Device(
    "onnxruntime", 1, ("fp32", "fp16"), Policy("uint8"), "a board without INT8", replaces={"int8": "fp16"}
)

def facts(host):
    return {"board": "half"}
'''

SUITE = '''
"""Coloured squares: HQP keeps the bound."""

from hqp import Gate, Suite

suite = Suite(
    models=("squarenet",),
    dataset="squares",
    devices=("cpu_onnxruntime",),
    methods=("fp32", "counted", "magnitude"),
    delta_max_pp=8.0,
    rounds=10,
    disturbed="kept",
    gates=(
        Gate("accuracy_drop", methods="counted", max_pp=10.0),
        Gate("size", methods="counted", max_ratio=0.9),
        Gate("latency_regression", methods=("fp32", "counted"), margin=1.0),
        Gate("accuracy_regression", methods="counted", max_pp=5.0),
    ),
)
'''

ENTRY_POINTS = """
[hqp.plugins]
datasets.squares = own_dataset
models.squarenet = own_model
methods.counted = own_method
devices.half_board = own_device
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the repository; its weights are trained."""
    root = tmp_path_factory.mktemp("project")
    metadata = root / "own-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: own\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(ENTRY_POINTS)
    (root / "own_dataset.py").write_text(DATASET)
    (root / "own_model.py").write_text(MODEL)
    (root / "own_method.py").write_text(METHOD)
    (root / "own_device.py").write_text(DEVICE)
    (root / "suites").mkdir()
    (root / "suites" / "squares.py").write_text(SUITE)
    plugin = "" if _installed() else " -p hqp.plugin"
    (root / "pytest.ini").write_text(f"[pytest]\naddopts = -p no:cacheprovider{plugin}\n")
    done = run_in(root, "-c", TRAIN)
    assert done.returncode == 0, done.stderr
    return root


def run_in(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A Python process in the repository, one thread, with the repository's plug-ins installed."""
    source = str(Path(__file__).parents[2])
    # What stands there already is kept: a session may add packages by it.
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    paths = [str(root), *([source] if not _installed() else []), *filter(None, given)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)


def _installed() -> bool:
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        distribution("hqp")
    except PackageNotFoundError:
        return False
    return True


@pytest.fixture(scope="session")
def run(project: Path) -> Run:
    """Runs Python in the repository."""
    return lambda *arguments: run_in(project, *arguments)


# Each argument is a command line: torch is imported once for all of them.
COMMANDS = """
import contextlib, io, json, sys
from hqp.cli import main
for line in sys.argv[1:]:
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        code = main(line.split())
    print(json.dumps([code, said.getvalue()]), flush=True)
"""


@pytest.fixture(scope="session")
def run_all(run: Run) -> Callable[..., list[subprocess.CompletedProcess[str]]]:
    """Runs command lines of HQP in the repository, one after the other in one process; they share standard error."""

    def run_lines(*lines: str) -> list[subprocess.CompletedProcess[str]]:
        done = run("-c", COMMANDS, *lines)
        assert done.returncode == 0, done.stderr
        ended = zip(lines, map(json.loads, done.stdout.splitlines()), strict=True)
        return [subprocess.CompletedProcess(line, code, said, done.stderr) for line, (code, said) in ended]

    return run_lines
