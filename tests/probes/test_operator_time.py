"""Times by operator come from the runtime's own profiler, and are of what it runs."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest

from hqp import catalog
from hqp.probes import Target, operator_time
from hqp.records import Device, Metric, Policy
from hqp.reports import _layers
from hqp.transport import HERE

DEVICE = Device("onnxruntime", 1, ("fp32",), Policy(), "one thread of this machine")


def target(runtime: object, file: Path = Path("model.onnx")) -> Target:
    return Target(file, DEVICE, HERE, runtime, True, lambda: None)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_each_operator_of_a_network_is_timed_in_each_inference(name: str, quantised: Path) -> None:
    runtime = catalog.find("runtimes", name)
    if catalog.missing(runtime):
        pytest.skip(f"{name} is not installed")
    metrics = operator_time.measure(target(runtime, quantised))
    assert {(metric.name, metric.unit, len(metric.samples)) for metric in metrics} == {("operator_time", "ms", 10)}
    assert all(0 <= sample < 1000 for metric in metrics for sample in metric.samples)
    names = [metric.of for metric in metrics]
    assert len(set(names)) == len(names)
    # Of operators that take microseconds, one that the clock always reads as none may be missing.
    assert [operator for operator in names if "Conv" in operator], names


@pytest.mark.parametrize("file", ["fp32.onnx", "int8.onnx"])
@pytest.mark.parametrize("name", ["onnxruntime", "openvino"])
def test_every_layer_is_found_among_the_operators_whatever_was_fused_into_it(
    name: str, file: str, quantised: Path
) -> None:
    runtime = catalog.find("runtimes", name)
    if catalog.missing(runtime):
        pytest.skip(f"{name} is not installed")
    operators = [metric.of for metric in operator_time.measure(target(runtime, quantised.with_name(file)))]
    # The last layer has the output's name in OpenVINO.
    layers = ["6" if operator == _layers.OUTPUT else _layers.layer_in(operator) for operator in operators]
    found, network = [layer for layer in layers if layer], ["0", "2", "6"]
    # OpenVINO tells nothing of an operator of microseconds that its clock always reads as none.
    expected = network if name == "onnxruntime" else [layer for layer in network if layer in found]
    assert found and found == expected, operators


def test_a_runtime_without_a_profiler_tells_nothing() -> None:
    assert operator_time.measure(target(SimpleNamespace())) == ()


def test_operators_are_told_one_by_one() -> None:
    told = {"a": [1.0, 2.0], "b": [0.0]}
    runtime = SimpleNamespace(operator_times=lambda file, device, iterations: told if iterations == 10 else {})
    assert operator_time.measure(target(runtime)) == (
        Metric("operator_time", "ms", (1.0, 2.0), of="a"),
        Metric("operator_time", "ms", (0.0,), of="b"),
    )
