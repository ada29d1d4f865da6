"""What a run knows of a device: how it wants its INT8 here, and how long a file takes on it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hqp.errors import HqpError
from hqp.records import Environment
from hqp.run.context import Context, device_of
from hqp.store import Store


@pytest.mark.parametrize(
    ("instructions", "bits"),
    [
        ("avx2", 7),
        ("avx2 avx512f", 7),
        ("avx2 avx512_vnni avx512f", 8),
        ("avx2 avx_vnni", 8),
        ("asimd asimddp", 8),
        ("", 8),
    ],
)
@pytest.mark.parametrize("device", ["cpu_onnxruntime", "cpu_openvino"])
def test_weights_are_narrow_where_kernels_would_saturate(
    tmp_path: Path, device: str, instructions: str, bits: int
) -> None:
    facts = {"instructions": instructions} if instructions else {}
    context = Context(Store(tmp_path), _environments={device: Environment(facts)})
    policy, declared = context.policy(device), device_of(device).policy
    assert policy.weight_bits == bits and declared.weight_bits == 8
    assert (policy.activations, policy.float_results) == (declared.activations, declared.float_results)


def test_a_latency_by_a_clock_that_stands_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [
        helper.make_tensor_value_info(*port) for port in (("x", TensorProto.FLOAT, (1, 3, 4, 4)), ("y", 1, (1, 3)))
    ]
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "mean", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "a.onnx")
    context = Context(Store(tmp_path))
    assert np.isfinite(context.latency_ms(tmp_path / "a.onnx", "cpu_onnxruntime"))
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 5)
    with pytest.raises(
        HqpError, match=r"a\.onnx on cpu_onnxruntime: the runtime told a time of 0 ms; a time above 0 ms"
    ):
        context.latency_ms(tmp_path / "a.onnx", "cpu_onnxruntime")
