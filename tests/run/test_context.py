"""What a run knows of a device: how it wants its INT8 here, and how long a file takes on it."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from hqp import catalog, transport, typings
from hqp.errors import HqpError
from hqp.measure import PROTOCOL, environment
from hqp.records import Case, Device, Environment, Policy, Samples
from hqp.run import measuring
from hqp.run.context import Context
from hqp.run.measuring import Protocol
from hqp.run.plugins import Plugins
from hqp.run.worker import guard_of
from hqp.runtimes import Float32, RuntimeSession
from hqp.store import Store
from hqp.transport import Host


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
    policy, declared = context.policy(device), context.plugins.device(device).policy
    assert policy.weight_bits == bits and declared.weight_bits == 8
    assert (policy.activations, policy.float_results) == (declared.activations, declared.float_results)


def save_means(file: Path, last: str = "Identity") -> Path:
    """A network whose three outputs are the means of an image's channels, after an operation on them."""
    ports = [
        helper.make_tensor_value_info(*port) for port in (("x", TensorProto.FLOAT, (1, 3, 4, 4)), ("y", 1, (1, 3)))
    ]
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["a"]),
        helper.make_node("Flatten", ["a"], ["b"]),
        helper.make_node(last, ["b"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "mean", ports[:1], ports[1:])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    return file


def coloured(labels: tuple[int, ...], samples: np.ndarray[Any, Any]) -> Samples:
    """Images of three classes, each of one colour."""

    def read(indices: Any, size: int) -> np.ndarray[Any, Any]:
        return np.broadcast_to(samples[list(indices), None, None], (len(indices), size, size, 3)).astype(np.uint8)

    names, unit = ("red", "green", "blue"), (0.5, 0.5, 0.5)
    return Samples("colours", "test", np.array(labels), names, unit, unit, "e" * 64, read)


def test_what_a_runtime_gives_no_numbers_for_is_counted_and_judges_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_sidecar: Any
) -> None:
    # The root of the second image's red is not a number; the runtime is a real one.
    images = coloured((0, 1), np.array([[250, 200, 200], [10, 250, 200]]))
    context, file = Context(Store(tmp_path / "store")), save_means(tmp_path / "root.onnx", "Sqrt")
    counted = context.judged(file, "cpu_onnxruntime", images, 4).accuracy
    assert (counted.without_numbers, counted.total) == (1, 2)
    monkeypatch.setattr(Context, "samples", lambda *_, **__: images)
    case = Case("mine", "q8", "cpu_onnxruntime")
    with pytest.raises(HqpError, match=r"root\.onnx on cpu_onnxruntime gives no finite outputs for 1 of 2 images; "):
        measuring.accuracy(context, case, make_sidecar(network__input_size=4), file, Protocol())


def test_outputs_of_another_shape_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = coloured((0, 1), np.array([[250, 0, 0], [0, 250, 0]]))
    for shape in ((1, 3), (2, 3, 1), (6,)):
        session = SimpleNamespace(outputs=lambda _, shape=shape: np.zeros(shape, np.float32))
        monkeypatch.setattr(Context, "opener", lambda *_, session=session, **__: lambda: nullcontext(session))
        with pytest.raises(HqpError) as refused:
            Context(Store(tmp_path)).judged(save_means(tmp_path / "a.onnx"), "cpu_onnxruntime", images, 4)
        said = f"the runtime of device 'cpu_onnxruntime' gave outputs of shape {shape} for 2 images; (2, classes)"
        assert str(refused.value) == said


def test_a_latency_by_a_clock_that_stands_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_means(tmp_path / "a.onnx")
    context = Context(Store(tmp_path))
    assert np.isfinite(context.latencies_ms([tmp_path / "a.onnx"], "cpu_onnxruntime")).all()
    monkeypatch.setattr(time, "perf_counter_ns", lambda: 5)
    with pytest.raises(
        HqpError, match=r"a\.onnx on cpu_onnxruntime: the runtime told a time of 0 ms; a time above 0 ms"
    ):
        context.latencies_ms([tmp_path / "a.onnx"], "cpu_onnxruntime")


class FarSession(RuntimeSession):
    """A board's tool: it tells times of its own, and its files are what ``prepare`` made."""

    def outputs(self, images: Float32) -> Float32:
        return images.mean(axis=(2, 3))

    def time(self, iterations: int) -> list[float]:
        return [float(self.file.stat().st_size)] * iterations


BOARD = Device("far", 2, ("fp32",), Policy(), "a board", host="user@board")


@dataclass
class Far:
    """A device ``board`` on another host, whose runtime ``far`` builds engines; what was asked of it is kept."""

    host: Any
    device: Device = BOARD
    release: str = "8.2"
    source: Path = Path(__file__)
    built: list[Path] = field(default_factory=list)

    def version(self, host: Host) -> str:
        assert host is self.host
        return self.release

    def facts(self, host: Host) -> dict[str, str]:
        return {"module": host.read("/proc/device-tree/model")}

    def prepare(self, file: Path, device: Device, folder: Path) -> Path:
        self.built.append(file)
        engine = folder / "engines" / "first.bin"
        engine.parent.mkdir()
        engine.write_bytes(b"engine" + file.read_bytes())
        return engine

    def load(self, kind: str, name: str) -> Any:
        if (kind, name) == ("devices", "board"):
            return SimpleNamespace(device=self.device, facts=self.facts)
        if (kind, name) == ("runtimes", "far"):
            session = {"Session": FarSession, "__file__": str(self.source), "opens": "onnx"}
            return SimpleNamespace(version=self.version, prepare=self.prepare, **session)
        return LOAD(kind, name)


LOAD = catalog.load


@pytest.fixture
def far(make_host: Any, monkeypatch: pytest.MonkeyPatch) -> Far:
    board = Far(make_host({"proc/device-tree/model": "p3448", "proc/loadavg": "0 0 0 9/345 7"}))
    monkeypatch.setattr(catalog, "load", board.load)
    monkeypatch.setattr(transport, "host", {"user@board": board.host, "": transport.HERE}.__getitem__)
    return board


def test_the_environment_of_a_device_elsewhere_holds_nothing_of_this_machine(far: Far, tmp_path: Path) -> None:
    told = Context(Store(tmp_path)).environment("board").facts
    assert told == {"module": "p3448", "runtime": "far 8.2", "threads": "2", "protocol": PROTOCOL}


def test_the_guard_of_a_device_elsewhere_watches_its_host(far: Far) -> None:
    guard = guard_of(Plugins(), "board")
    asked = len(far.host.asked)
    guard()()
    assert "/proc/loadavg" in far.host.asked[asked:]
    assert (guard.threads, guard.read().own_s) == (2, None)


def test_what_a_runtime_opens_is_made_once_before_the_first_session(far: Far, tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"model")
    opener = Context(Store(tmp_path)).opener(file, "board")
    assert far.built == [file]
    for _ in range(2):
        with opener() as session:
            assert session.file.read_bytes() == b"enginemodel"
    again = Context(Store(tmp_path))
    assert again.latencies_ms([file], "board") == [len(b"enginemodel")]
    assert far.built == [file]


def test_outputs_that_were_cut_off_are_no_accuracy(far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.onnx").write_bytes(b"model")
    context = Context(Store(tmp_path))
    samples = context.samples("signs", "selection", 16, first=8)
    assert context.outputs(tmp_path / "a.onnx", "board", samples, 16, "step").shape == (8, 3)
    monkeypatch.setattr(FarSession, "outputs", lambda self, images: images.mean(axis=(2, 3))[:5])
    with pytest.raises(HqpError, match=r"device 'board' gave outputs of shape \(5, 3\) for 8 images; \(8, classes\)"):
        context.outputs(tmp_path / "a.onnx", "board", samples, 16, "step")


def test_an_engine_is_of_its_file_device_environment_and_runtime(
    far: Far, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"model")

    def made() -> int:
        Context(Store(tmp_path)).prepared(file, "board")
        return len(far.built)

    assert (made(), made()) == (1, 1)
    far.release = "8.6"
    assert made() == 2
    far.device = replace(far.device, precisions=("fp32", "fp16"))
    assert made() == 3
    far.source = tmp_path / "far.py"
    far.source.write_text("flags = ('--fp16',)")
    assert made() == 4
    file.write_bytes(b"another")
    assert (made(), made()) == (5, 5)


def test_a_file_that_needs_no_preparing_is_opened_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "a.onnx"
    file.write_bytes(b"model")
    assert Context(Store(tmp_path / "store")).prepared(file, "cpu_onnxruntime") == file
    assert not (tmp_path / "store").exists()


def test_a_file_is_opened_only_in_the_precision_that_it_is_made_for(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 2, 2))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 12))
    model = helper.make_model(helper.make_graph([helper.make_node("Flatten", ["x"], ["y"])], "g", [x], [y]))
    typings.mark(model, "bf16")
    onnx.save(model, tmp_path / "half.onnx")
    context = Context(Store(tmp_path / "store"))
    with pytest.raises(HqpError, match="computes in BF16, and device 'cpu_onnxruntime' has FP32, INT8"):
        context.opener(tmp_path / "half.onnx", "cpu_onnxruntime")


def test_a_device_has_the_precisions_that_its_processor_names() -> None:
    declared = Device("openvino", 1, ("fp32", "bf16", "int8"), Policy(), "a CPU", needs={"bf16": "bf16"})
    assert declared.with_instructions("avx2 avx512f").precisions == ("fp32", "int8")
    assert declared.with_instructions("avx2 avx512_bf16").precisions == declared.precisions
    # A system that tells nothing rules out nothing: the runtime refuses what is not there.
    assert declared.with_instructions("").precisions == declared.precisions
    assert Plugins().device("cpu_onnxruntime").precisions == ("fp32", "int8")
    assert ("bf16" in Plugins().device("cpu_openvino").precisions) == ("bf16" in environment.instructions())
