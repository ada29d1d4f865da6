"""``hqp.load``: a user has the pruned network back as a module, from a script of a few lines."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

COMPRESS = ("-m", "hqp", "compress", "squarenet", "--dataset", "squares", "--device", "cpu_onnxruntime")

COMPARE = """
import sys
import hqp
assert "torch" not in sys.modules
import numpy as np, onnxruntime, torch
from own_model import build

image = np.random.default_rng(0).standard_normal((1, 3, 16, 16), np.float32)
session = onnxruntime.InferenceSession("out/loaded/model.onnx", providers=["CPUExecutionProvider"])
exact = session.run(None, {"input": image})[0]
for model in (hqp.load("out/loaded"), hqp.load("out/loaded", build)):
    with torch.no_grad():
        found = model(torch.from_numpy(image)).numpy()
    assert np.abs(found - exact).max() < 1e-4 * np.abs(exact).max(), (found, exact)
    widths = [layer.out_channels for layer in model.modules() if isinstance(layer, torch.nn.Conv2d)]
print(*widths)
"""

LOAD = """
import hqp, sys
from hqp.errors import HqpError

try:
    hqp.load(sys.argv[1])
except HqpError as error:
    sys.exit(str(error))
"""


@pytest.fixture(scope="module")
def loaded(project: Path, run: Any) -> Path:
    """An artefact that was pruned and not quantised, so that its ONNX file is the FP32 export."""
    done = run(*COMPRESS, "--method", "pruned", "--delta-max", "5", "--out", "out/loaded")
    assert done.returncode == 0, done.stderr
    return project / "out/loaded"


def test_the_network_that_is_loaded_gives_what_its_fp32_export_gives(loaded: Path, run: Any) -> None:
    done = run("-c", COMPARE)
    assert done.returncode == 0, done.stderr
    widths = [int(width) for width in done.stdout.split()]
    assert len(widths) == 5 and max(widths) <= 16 and min(widths) < 16


def test_weights_that_are_not_those_of_the_artefact_are_refused(loaded: Path, run: Any) -> None:
    shutil.copytree(loaded, loaded.parent / "changed_weights")
    weights = loaded.parent / "changed_weights" / "weights.safetensors"
    for content in (weights.read_bytes()[:-1] + b"\0", None):
        weights.unlink()
        if content:
            weights.write_bytes(content)
        done = run("-c", LOAD, "out/changed_weights")
        wrong = "out/changed_weights/weights.safetensors is not the file that hqp.json describes"
        said = f"{wrong}; an artefact as it was written"
        assert done.returncode == 1 and done.stderr.startswith(said), done.stderr


def test_what_is_no_artefact_is_told_in_one_line(loaded: Path, run: Any) -> None:
    done = run("-c", LOAD, "out/nothing")
    assert (done.returncode, done.stderr.startswith("there is no file out/nothing/hqp.json")) == (1, True)


def test_the_public_names_are_all_there() -> None:
    import hqp

    assert callable(hqp.load)
    assert {getattr(hqp, name).__module__ for name in ("Gate", "Model", "Suite")} == {"hqp.suite"}
    with pytest.raises(AttributeError, match="module hqp has no attribute laod"):
        _ = hqp.laod  # type: ignore[attr-defined]
    assert "hqp.run.load" in sys.modules
