"""The files that trtexec exports: NVIDIA's own where HQP_DATA has them, and what a board may write."""

from __future__ import annotations

import contextlib
import json
import os
import statistics
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.errors import HqpError
from hqp.runtimes._trtexec import exported
from hqp.runtimes._trtexec.exported import Inference, Layer, LayerTime

# NVIDIA/TensorRT v10.3.0, tools/experimental/trt-engine-explorer: of the era of 8.4, warm-up included.
TIMES = """\
[
  { "startEnqMs" : 2.67333, "endEnqMs" : 2.70722, "startH2dMs" : 2.57741, "endH2dMs" : 2.57741, "startComputeMs" : \
2.57741, "endComputeMs" : 3.45088, "startD2hMs" : 3.45088, "endD2hMs" : 3.45088, "h2dMs" : 0, "computeMs" : 0.873472, \
"d2hMs" : 0, "latencyMs" : 0.873472 }
, { "startEnqMs" : 202.67, "endEnqMs" : 202.7, "startH2dMs" : 202.6, "endH2dMs" : 202.6, "startComputeMs" : 202.6, \
"endComputeMs" : 203.5, "startD2hMs" : 203.5, "endD2hMs" : 203.5, "h2dMs" : 0, "computeMs" : 9e-01, "d2hMs" : 0, \
"latencyMs" : 0.9, "endToEndMs" : 1 }
]
"""
PROFILE = """\
[
  { "count" : 6610 }
, { "name" : "QuantizeLinear_2", "timeMs" : 31.3879, "averageMs" : 0.00474854, "medianMs" : 0.004544, "percentage" : 1 }
, { "name" : "a "quoted" \\ name", "timeMs" : 57.6562, "averageMs" : 0.00872257, "percentage" : 1.85433 }
]
"""


@pytest.fixture
def nvidia() -> Path:
    """The folder of NVIDIA's own files."""
    folder = Path(os.environ.get("HQP_DATA", ""), "trtexec")
    if not list(folder.glob("*.timing.json")):
        pytest.skip("HQP_DATA names no folder with trtexec/*.timing.json")
    return folder


def test_times_keep_what_the_file_says_of_each_inference() -> None:
    assert exported.inferences(TIMES) == (Inference(2.57741, 0.873472), Inference(202.6, 0.9))


def test_what_began_in_the_warm_up_is_no_sample() -> None:
    assert exported.measured_ms(TIMES, warmup_ms=200) == [0.9]
    assert exported.measured_ms(TIMES, warmup_ms=0) == [0.873472, 0.9]


def test_a_time_that_cpp_calls_infinite_is_infinite() -> None:
    assert exported.measured_ms(TIMES.replace("0.873472", "inf"), 0) == [float("inf"), 0.9]


def test_layers_whose_names_are_no_json_are_read() -> None:
    assert exported.layer_times(PROFILE) == (
        LayerTime("QuantizeLinear_2", 0.00474854),
        LayerTime('a "quoted" \\ name', 0.00872257),
    )


def test_outputs_are_rows_of_logits() -> None:
    text = '[ { "name" : "logits", "dimensions" : "2x3", "values" : [ 1, 2.5, -3e-05, 4, 5, 6 ] } ]'
    np.testing.assert_array_equal(exported.outputs(text, 2), np.array([[1, 2.5, -3e-05], [4, 5, 6]], np.float32))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[ { "name" : "y", "values" : [ 1, nan ] } ]', "the engine gives logits that are not finite"),
        ('[ { "name" : "y", "values" : [ 1, 2, 3 ] } ]', "it holds 3 values for 2 images"),
        ('[ { "name" : "y", "values" : [ 1, "a" ] } ]', "its values are no numbers"),
        ('[ { "name" : "y" } ]', "its values are no numbers"),
        ("[]", "it does not hold one output"),
        ('[ { "name" : "y", "val', "it is cut off or no JSON"),
    ],
)
def test_outputs_that_are_none(text: str, said: str) -> None:
    with pytest.raises(HqpError, match=said):
        exported.outputs(text, 2)


@pytest.mark.parametrize("text", ["", "{}", "[1]", '[{"computeMs": 1}]', TIMES[:-40]])
def test_times_that_are_none(text: str) -> None:
    with pytest.raises(HqpError, match=r"trtexec's --exportTimes file cannot be read: .*; a run that ends"):
        exported.inferences(text)


def test_layer_names_alone_are_told_without_a_kind() -> None:
    """As where the engine was built without detailed verbosity."""
    assert exported.layers('{"Layers": ["conv1"], "Bindings": ["x"]}') == (Layer("conv1", "", ""),)


@pytest.mark.parametrize(("text", "said"), [("{}", "lists no layers"), ('{"Lay', "cut off or no JSON")])
def test_layers_that_are_none(text: str, said: str) -> None:
    with pytest.raises(HqpError, match=said):
        exported.layers(text)


@pytest.mark.parametrize(
    ("name", "written", "measured"),
    [("fp32", 1600, 1500), ("fp16", 3698, 3468), ("qat", 3614, 3392), ("qat-residual", 5833, 5472)],
)
def test_nvidias_times(nvidia: Path, name: str, written: int, measured: int) -> None:
    text = (nvidia / f"resnet18-a100-{name}.timing.json").read_text()
    rows = json.loads(text)
    times_ms = exported.measured_ms(text, warmup_ms=0)
    assert (len(times_ms), len(exported.measured_ms(text, warmup_ms=200))) == (written, measured)
    assert times_ms == [row["computeMs"] for row in rows]


def test_nvidias_medians_are_those_that_were_published(nvidia: Path) -> None:
    names = ("fp32", "fp16", "qat", "qat-residual")
    files = (nvidia / f"resnet18-a100-{name}.timing.json" for name in names)
    medians_ms = [round(statistics.median(exported.measured_ms(file.read_text(), 0)), 3) for file in files]
    assert medians_ms == [1.991, 0.862, 0.883, 0.546]


def test_nvidias_layers(nvidia: Path) -> None:
    text = (nvidia / "resnet18-a100-qat-residual.graph.json").read_text()
    found = Counter(layer.weights for layer in exported.layers(text) if layer.weights)
    assert found == {"Int8": 20}
    assert "Half" in {
        layer.weights for layer in exported.layers((nvidia / "resnet18-a100-fp16.graph.json").read_text())
    }


def test_nvidias_profile_adds_up(nvidia: Path) -> None:
    text = (nvidia / "resnet18-a100-fp16.profile.json").read_text()
    written = [row for row in json.loads(text) if "name" in row]
    assert [(one.name, one.average_ms) for one in exported.layer_times(text)] == [
        (row["name"], row["averageMs"]) for row in written
    ]


@given(st.text())
def test_any_text_is_refused_or_read(text: str) -> None:
    for reader in (
        exported.inferences,
        exported.layers,
        exported.layer_times,
        lambda words: exported.outputs(words, 1),
    ):
        with contextlib.suppress(HqpError):
            reader(text)


@given(st.lists(st.floats(1e-3, 1e3), min_size=1), st.floats(0, 500))
def test_samples_are_those_after_the_warm_up(times_ms: list[float], warmup_ms: float) -> None:
    starts = np.cumsum([0.0, *times_ms[:-1]]).tolist()
    rows = [{"startComputeMs": start, "computeMs": took} for start, took in zip(starts, times_ms, strict=True)]
    after = [took for start, took in zip(starts, times_ms, strict=True) if start >= warmup_ms]
    assert exported.measured_ms(json.dumps(rows), warmup_ms) == after
