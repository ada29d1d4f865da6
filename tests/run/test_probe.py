from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp import catalog
from hqp.errors import HqpError
from hqp.records import Device, Policy
from hqp.run import probe

WEIGHT_BYTES = 40 * 10**6


def linear(path: Path, outputs: int) -> Path:
    """One linear layer from a 1 x 10 x 10 image, of 400 weight bytes an output."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 10, 10))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, outputs))
    weight = np.random.default_rng(0).standard_normal((100, outputs), np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def device(runtime: str) -> Device:
    if catalog.missing(catalog.find("runtimes", runtime)):
        pytest.skip(f"{runtime} is not installed")
    return Device(runtime, 1, ("fp32",), Policy(), "a device")


@pytest.mark.parametrize("runtime", catalog.names("runtimes"))
def test_the_weights_of_a_model_are_in_its_peak_memory(runtime: str, tmp_path: Path) -> None:
    large = probe.peak_memory_bytes(device(runtime), linear(tmp_path / "large.onnx", WEIGHT_BYTES // 400))
    small = probe.peak_memory_bytes(device(runtime), linear(tmp_path / "small.onnx", 10))
    assert large - small > 0.95 * WEIGHT_BYTES
    assert large < 10 * WEIGHT_BYTES


@pytest.mark.parametrize("runtime", catalog.names("runtimes"))
def test_a_file_that_cannot_be_run_fails_with_the_childs_own_line(runtime: str, tmp_path: Path) -> None:
    path = tmp_path / "text.onnx"
    path.write_text("this is no ONNX file")
    with pytest.raises(HqpError, match=f"exit code 2: {runtime} does not run .*text.onnx") as raised:
        probe.peak_memory_bytes(device(runtime), path)
    assert "\n" not in str(raised.value)


def test_an_unknown_runtime_is_named() -> None:
    with pytest.raises(HqpError, match="unknown runtime 'onnxruntim'"):
        probe.peak_memory_bytes(Device("onnxruntim", 1, ("fp32",), Policy(), "a device"), Path("m.onnx"))
