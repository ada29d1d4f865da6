"""The log of trtexec, on lines of real boards."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.runtimes._trtexec import log

# TensorRT 8.2 on a Xavier NX (meta-tegra, pull request 1124), within the frame that its sources print.
XAVIER_NX_8_2 = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v8201] # /usr/src/tensorrt/bin/trtexec --loadEngine=mnist16.trt --batch=16
[12/01/2022-10:00:00] [I] === Performance summary ===
[12/01/2022-10:00:00] [I] Throughput: 27207 qps
[12/01/2022-10:00:00] [I] Latency: min = 0.564209 ms, max = 0.593018 ms, mean = 0.573891 ms, median = 0.572998 ms, \
percentile(99%) = 0.587769 ms
[12/01/2022-10:00:00] [I] End-to-End Host Latency: min = 0.574707 ms, max = 0.606201 ms, mean = 0.586663 ms, \
median = 0.585938 ms, percentile(99%) = 0.601685 ms
[12/01/2022-10:00:00] [I] GPU Compute Time: min = 0.554932 ms, max = 0.58374 ms, mean = 0.564682 ms, \
median = 0.564087 ms, percentile(99%) = 0.578552 ms
[12/01/2022-10:00:00] [I] Total Host Walltime: 3.00158 s
[12/01/2022-10:00:00] [I] Total GPU Compute Time: 2.88214 s
&&&& PASSED TensorRT.trtexec [TensorRT v8201] # /usr/src/tensorrt/bin/trtexec --loadEngine=mnist16.trt --batch=16
"""

# TensorRT 8.6 on an AGX Orin (meta-tegra-community, pull request 113).
AGX_ORIN_8_6 = """\
[I] Average on 10 runs - GPU latency: 4.78064 ms - Host latency: 4.83948 ms (enqueue 0.356567 ms)
[I] Throughput: 208.729 qps
[I] Latency: min = 4.81763 ms, max = 4.86572 ms, mean = 4.83767 ms, median = 4.83752 ms, percentile(90%) = 4.84772 ms, \
percentile(95%) = 4.85034 ms, percentile(99%) = 4.85547 ms
"""


def test_a_log_of_8_2_is_read_whole() -> None:
    assert log.read(XAVIER_NX_8_2) == log.Log(
        version="8.2.1",
        outcome="PASSED",
        throughput_qps=27207.0,
        statistics_ms={
            "Latency": {
                "min": 0.564209,
                "max": 0.593018,
                "mean": 0.573891,
                "median": 0.572998,
                "percentile(99%)": 0.587769,
            },
            "End-to-End Host Latency": {
                "min": 0.574707,
                "max": 0.606201,
                "mean": 0.586663,
                "median": 0.585938,
                "percentile(99%)": 0.601685,
            },
            "GPU Compute Time": {
                "min": 0.554932,
                "max": 0.58374,
                "mean": 0.564682,
                "median": 0.564087,
                "percentile(99%)": 0.578552,
            },
        },
        graph_captured=None,
        errors=(),
        doubts=(),
    )


def test_three_percentiles_are_told_apart() -> None:
    assert log.read(AGX_ORIN_8_6).statistics_ms["Latency"] == {
        "min": 4.81763,
        "max": 4.86572,
        "mean": 4.83767,
        "median": 4.83752,
        "percentile(90%)": 4.84772,
        "percentile(95%)": 4.85034,
        "percentile(99%)": 4.85547,
    }


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("&&&& PASSED TensorRT.trtexec [TensorRT v8400] # trtexec --loadEngine=mnist16.trt --batch=16", "8.4.0"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v8502] # trtexec", "8.5.2"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # /usr/src/tensorrt/bin/trtexec --useCudaGraph", "10.3.0"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v101303] [b9] # trtexec", "10.13.3"),
        ("&&&& RUNNING TensorRT.trtexec [TensorRT v110100] [b23] # trtexec", "11.1.0"),
    ],
)
def test_versions_of_five_and_six_digits(line: str, version: str) -> None:
    assert log.read(line).version == version


@pytest.mark.parametrize(
    ("line", "captured"),
    [
        ("[I] Successfully captured CUDA graph for the current execution context", True),
        (
            "[W] The built TensorRT engine contains operations that are not permitted under CUDA graph capture mode.",
            False,
        ),
        ("[W] CUDA graph capture failed. The inference will be launched without using CUDA graph.", False),
        ("[I] Starting inference", None),
    ],
)
def test_whether_a_graph_was_captured(line: str, captured: bool | None) -> None:
    assert log.read(line).graph_captured is captured


def test_errors_and_doubts_are_kept_in_their_words() -> None:
    said = log.read(
        "[03/01/2024-10:00:00] [W] * GPU compute time is unstable, with coefficient of variance = 4.1%.\n"
        "[03/01/2024-10:00:00] [E] Error[10]: Could not find any implementation for node conv1.\n"
        "[03/01/2024-10:00:00] [E] [TRT] 4: [network.cpp::validate::3157] Error Code 4: Internal Error\n"
        "&&&& FAILED TensorRT.trtexec [TensorRT v8502] # trtexec\n"
    )
    assert said.outcome == "FAILED"
    assert said.errors == (
        "Error[10]: Could not find any implementation for node conv1.",
        "4: [network.cpp::validate::3157] Error Code 4: Internal Error",
    )
    assert said.doubts == ("GPU compute time is unstable, with coefficient of variance = 4.1%.",)


@given(st.integers(1, 9), st.integers(0, 9), st.integers(0, 99))
def test_every_old_version_comes_back(major: int, minor: int, patch: int) -> None:
    assert log.version_of(major * 1000 + minor * 100 + patch) == f"{major}.{minor}.{patch}"


@given(st.integers(10, 99), st.integers(0, 99), st.integers(0, 99))
def test_every_new_version_comes_back(major: int, minor: int, patch: int) -> None:
    assert log.version_of(major * 10_000 + minor * 100 + patch) == f"{major}.{minor}.{patch}"


@given(st.text())
def test_any_text_is_a_log_of_nothing_or_something(text: str) -> None:
    assert log.read(text).outcome in ("", "PASSED", "FAILED", "WAIVED")


@given(st.floats(0, 1e30, allow_nan=False))
def test_a_number_as_c_plus_plus_prints_it_comes_back(value: float) -> None:
    printed = f"{value:g}"
    summary = log.read(f"[I] GPU Compute Time: min = {printed} ms, max = inf ms, mean = {printed} ms, median = 5 ms")
    assert summary.statistics_ms == {
        "GPU Compute Time": {"min": float(printed), "max": math.inf, "mean": float(printed), "median": 5.0}
    }
