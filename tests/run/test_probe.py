"""Probes are run in this process or in one of their own, and what they measured comes back whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp import catalog, documents, power
from hqp.errors import HqpError, NotInstalled
from hqp.probes import energy
from hqp.records import Device, Metric, Policy, metric_named
from hqp.run import job, probe
from hqp.run.context import Context
from hqp.runtimes import RuntimeSession
from hqp.store import Store
from hqp.transport import HERE

WEIGHT_BYTES = 40 * 10**6

# The devices of this machine.
DEVICES = ("cpu_onnxruntime", "cpu_openvino")


def linear(path: Path, outputs: int) -> Path:
    """One linear layer from a 1 x 10 x 10 image, of 400 weight bytes an output."""
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 10, 10))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, outputs))
    weight = np.random.default_rng(0).standard_normal((100, outputs), np.float32)
    nodes = [helper.make_node("Flatten", ["x"], ["a"]), helper.make_node("MatMul", ["a", "w"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Store(tmp_path / "store"))


@pytest.fixture(params=DEVICES)
def device(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    runtime = catalog.find("devices", name).device.runtime
    if catalog.missing(catalog.find("runtimes", runtime)):
        pytest.skip(f"{runtime} is not installed")
    return name


def value(context: Context, device: str, file: Path, name: str) -> float:
    metric = metric_named(probe.metrics(context, device, file), name)
    assert metric is not None
    return metric.median


def test_the_weights_of_a_model_are_in_its_size_and_its_peak_memory(
    context: Context, device: str, tmp_path: Path
) -> None:
    large = linear(tmp_path / "large.onnx", WEIGHT_BYTES // 400)
    small = linear(tmp_path / "small.onnx", 10)
    assert value(context, device, small, "size") == small.stat().st_size
    peak = value(context, device, large, "peak_memory")
    assert peak - value(context, device, small, "peak_memory") > 0.95 * WEIGHT_BYTES
    assert peak < 10 * WEIGHT_BYTES


def test_a_file_that_cannot_be_run_fails_with_the_childs_own_line(
    context: Context, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = catalog.names
    monkeypatch.setattr(catalog, "names", lambda kind: ("peak_memory",) if kind == "probes" else listed(kind))
    path = tmp_path / "text.onnx"
    path.write_text("this is no ONNX file")
    with pytest.raises(HqpError, match=r"exit code 2: \w+ does not run .*text.onnx") as raised:
        probe.metrics(context, device, path)
    assert "\n" not in str(raised.value)


def planted(monkeypatch: pytest.MonkeyPatch, **plugins: Callable[..., tuple[Metric, ...]]) -> None:
    """Puts these functions in the place of all probes."""
    real, listed = catalog.load, catalog.names

    def load(kind: str, name: str) -> object:
        if kind != "probes":
            return real(kind, name)
        module = ModuleType(name)
        module.__dict__.update(measure=plugins[name], fresh=False)
        return module

    monkeypatch.setattr(catalog, "load", load)
    monkeypatch.setattr(catalog, "names", lambda kind: tuple(sorted(plugins)) if kind == "probes" else listed(kind))


def test_two_probes_do_not_measure_one_metric(
    context: Context, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy = (Metric("energy", "mJ", (1.0,)), Metric("energy", "mJ", (1.0,), of="conv1"))
    planted(monkeypatch, one=lambda target: energy, other=lambda target: energy[1:])
    with pytest.raises(HqpError, match="two probes measure 'energy of conv1'"):
        probe.metrics(context, device, linear(tmp_path / "model.onnx", 10))


def test_what_cannot_be_measured_is_absent_and_what_lacks_a_package_is_told_once(
    context: Context, device: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr(context.progress, "say", lambda line, loud=False: told.append(line))
    planted(monkeypatch, lacking=lambda target: (), telling=lambda target: (Metric("energy", "mJ", (2.5, 3.5)),))
    real = catalog.load

    def load(kind: str, name: str) -> object:
        if name == "lacking":
            raise NotInstalled("probe 'lacking'", ("pynvml",), None)
        return real(kind, name)

    monkeypatch.setattr(catalog, "load", load)
    file = linear(tmp_path / "m.onnx", 10)
    for _ in range(2):
        assert probe.metrics(context, device, file) == (Metric("energy", "mJ", (2.5, 3.5)),)
    assert told == ["not measured: probe 'lacking' needs pynvml, not installed here; try: pip install pynvml"]


def test_a_process_here_is_not_taken_for_one_elsewhere(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an engine elsewhere holds is told by its runtime, or by none."""
    board = Device("far", 1, ("fp32",), Policy(), "a board", host="user@nano")
    silent = SimpleNamespace(Session=RuntimeSession)
    telling = SimpleNamespace(Session=RuntimeSession, peak_memory_bytes=lambda file, device: 7 * len(device.runtime))
    monkeypatch.setattr(context.plugins, "device", lambda name: board)
    monkeypatch.setattr(context, "prepared", lambda file, device: file)
    monkeypatch.setattr(catalog, "names", lambda kind: ("peak_memory",))
    for runtime, expected in ((silent, ()), (telling, (Metric("peak_memory", "bytes", (21,)),))):
        monkeypatch.setattr(context.plugins, "runtime", lambda device, found=runtime: found)
        assert probe.metrics(context, "board", Path("model.onnx")) == expected


def test_the_fresh_process_prints_what_is_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = linear(tmp_path / "small.onnx", 10)
    assert probe.main(["size", str(file), device_json("onnxruntime")]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == [{"name": "size", "unit": "bytes", "samples": [float(file.stat().st_size)], "of": ""}]


def device_json(runtime: str) -> str:
    return documents.to_json(Device(runtime, 1, ("fp32",), Policy(), "a device"))


@pytest.mark.parametrize(
    ("name", "device", "wrong"),
    [
        ("weight", device_json("onnxruntime"), "unknown probe 'weight'"),
        ("size", device_json("onnxruntim"), "unknown runtime 'onnxruntim'"),
        ("size", "{}", "the device is damaged at 'runtime'"),
    ],
)
def test_what_the_fresh_process_does_not_know_is_told_in_one_line(
    name: str, device: str, wrong: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert probe.main([name, "model.onnx", device]) == 2
    assert capsys.readouterr().err.startswith(wrong)


def test_the_energy_of_a_file_is_what_the_probe_measures_on_the_device(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    sensor = tmp_path / "in_power0_input"
    sensor.write_text("2000\n")
    metered = replace(context.plugins.device("cpu_onnxruntime"), rails=("VDD_IN",))
    monkeypatch.setattr(context.plugins, "device", lambda name: metered)
    monkeypatch.setattr(power, "meter", lambda host, rails: power.sensor_meter(HERE, {"VDD_IN": (str(sensor),)}))
    for module, name, value in ((energy, "WINDOW_S", 0.2), (energy, "LOAD_S", 1.0), (power, "INTERVAL_S", 0.01)):
        monkeypatch.setattr(module, name, value)
    monkeypatch.setattr(power, "LEAST_HZ", 1.0)
    file = linear(tmp_path / "model.onnx", 10)
    assert job._is_metered(context, "cpu_onnxruntime")
    # Of 2 W an inference takes microjoules to millijoules, by how long it lasts.
    assert 0.002 < job._energy_mj(context, "cpu_onnxruntime", file) < 20

    monkeypatch.setattr(power, "meter", lambda host, rails: None)
    with pytest.raises(HqpError, match="power of device 'cpu_onnxruntime' cannot be read"):
        job._energy_mj(context, "cpu_onnxruntime", file)


def test_what_declares_no_meter_has_no_energy_to_aim_at(context: Context) -> None:
    assert not job._is_metered(context, "cpu_onnxruntime")
    # It has a meter, and is not here.
    assert context.plugins.device("jetson_nano").rails and not job._is_metered(context, "jetson_nano")
