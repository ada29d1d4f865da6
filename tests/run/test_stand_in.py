"""An artefact for a device that is not here is judged by its stand-in, and says so; the device judges again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from hqp import onnx_rules

COMPRESS = ("-m", "hqp", "compress", "squarenet", "--dataset", "squares", "--delta-max", "3")


@pytest.fixture(scope="module")
def artefact(project: Path, run: Any) -> Path:
    out = project / "out" / "stand-in"
    done = run(*COMPRESS, "--device", "cuda_tensorrt", "--method", "q8", "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert "verified in onnxruntime, standing in for tensorrt; the bench on cuda_tensorrt judges again" in done.stdout
    return out


def test_the_sidecar_says_who_stood_in_for_whom(artefact: Path) -> None:
    origin = json.loads((artefact / "hqp.json").read_text())["origin"]
    assert (origin["verified_in"], origin["standing_in_for"]) == ("cpu_onnxruntime_qdq", "tensorrt")
    assert origin["versions"]["runtime"].startswith("onnxruntime ")


def test_the_file_is_made_for_tensorrt_and_not_for_the_stand_in(artefact: Path) -> None:
    assert onnx_rules.lint(artefact / "model.onnx", symmetric_only=True) == ()
    tensors = onnx.load(artefact / "model.onnx").graph.initializer
    assert not [
        tensor.name for tensor in tensors if tensor.data_type in (onnx.TensorProto.UINT8, onnx.TensorProto.INT32)
    ]


def test_times_are_not_asked_of_a_stand_in(project: Path, run: Any) -> None:
    words = ("--device", "cuda_tensorrt", "--method", "hqp", "--target-latency-ms", "0.01", "--out", "out/timed")
    done = run(*COMPRESS, *words)
    assert done.returncode == 2
    assert "how fast a file is on cuda_tensorrt is asked, and cpu_onnxruntime_qdq stands in for it" in done.stderr


def test_the_bench_asks_the_device_and_never_the_stand_in(artefact: Path, run: Any) -> None:
    if importlib.util.find_spec("tensorrt"):
        pytest.skip("TensorRT is here")
    done = run("-m", "hqp", "bench", str(artefact), "--device", "cuda_tensorrt")
    assert done.returncode == 2
    assert "runtime 'tensorrt' needs tensorrt" in done.stderr and "pip install 'hqp[jetson]'" in done.stderr
