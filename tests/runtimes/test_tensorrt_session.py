"""The runtime ``tensorrt`` without a GPU: an engine that computes by onnxruntime from the addresses that it was given.

Memory, streams and events are this machine's, so that what is copied where, what is timed, and what is freed is known.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp import catalog
from hqp.errors import HqpError
from hqp.run.doctor import doctor
from hqp.runtimes import tensorrt as runtime
from hqp.runtimes._tensorrt import cuda, gpu
from hqp.runtimes._tensorrt.cuda import Array, Cuda

DEVICE = catalog.find("devices", "cuda_tensorrt").device
TICK_MS = 0.25


class Mode(Enum):
    INPUT = 1
    OUTPUT = 2


class Element(Enum):
    FLOAT = 1
    HALF = 2


class Memory(Cuda):
    """This machine in the place of a GPU; every call is a tick of its clock."""

    def __init__(self, captures: bool = True) -> None:
        self.captures, self.ticks, self.launched = captures, 0, 0
        self.held: dict[int, Any] = {}
        self.graphs: list[Callable[[], object]] = []

    def allocate(self, size: int) -> int:
        buffer = ctypes.create_string_buffer(size)
        self.held[ctypes.addressof(buffer)] = buffer
        return ctypes.addressof(buffer)

    def free(self, address: int) -> None:
        del self.held[address]

    def stream(self) -> int:
        return 77

    def event(self) -> list[int]:
        return [0]

    def to_device(self, address: int, array: Array, stream: int) -> None:
        ctypes.memmove(address, array.ctypes.data, array.nbytes)

    def to_host(self, array: Array, address: int, stream: int) -> None:
        ctypes.memmove(array.ctypes.data, address, array.nbytes)

    def record(self, event: list[int], stream: int) -> None:
        event[0] = self.ticks

    def elapsed_ms(self, start: list[int], end: list[int]) -> float:
        return TICK_MS * (end[0] - start[0])

    def wait(self, stream: int) -> None:
        return

    def capture(self, stream: int, enqueue: Callable[[], object]) -> int:
        if not self.captures:
            raise HqpError("CUDA's cudaStreamEndCapture failed: operation not permitted when stream is capturing")
        enqueue()
        self.graphs.append(enqueue)
        return len(self.graphs)

    def launch(self, graph: int, stream: int) -> None:
        self.launched += 1
        self.graphs[graph - 1]()


class Context:
    """Computes from the memory at the addresses that it was given, as TensorRT does from 8.5 on."""

    def __init__(self, engine: Engine) -> None:
        self._engine, self._addresses = engine, dict[str, int]()

    def set_tensor_address(self, name: str, address: int) -> None:
        self._addresses[name] = address

    def execute_async_v3(self, stream_handle: int) -> bool:
        return self._engine.compute(self._addresses, stream_handle)


class OldContext:
    """The same before 8.5: addresses come with each call, in the order of the bindings."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def execute_async_v2(self, bindings: list[int], stream_handle: int) -> bool:
        return self._engine.compute(dict(zip(self._engine.names, bindings, strict=True)), stream_handle)


class Engine:
    def __init__(self, content: bytes, memory: Memory, element: Element) -> None:
        self._session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
        self._memory, self._element = memory, element
        self.ports = {port.name: port.shape for port in (*self._session.get_inputs(), *self._session.get_outputs())}
        self.names = list(self.ports)

    def compute(self, addresses: dict[str, int], stream: int) -> bool:
        assert stream == 77
        self._memory.ticks += 1
        source, target = self.names
        image, logits = (self._at(addresses[name], self.ports[name]) for name in (source, target))
        logits[:] = self._session.run(None, {source: image})[0]
        return True

    @staticmethod
    def _at(address: int, shape: list[int]) -> Array:
        pointer = ctypes.cast(address, ctypes.POINTER(ctypes.c_float))
        return np.ctypeslib.as_array(pointer, shape=tuple(shape))


class NewEngine(Engine):
    num_io_tensors = 2

    def get_tensor_name(self, index: int) -> str:
        return self.names[index]

    def get_tensor_mode(self, name: str) -> Mode:
        return Mode.INPUT if name == self.names[0] else Mode.OUTPUT

    def get_tensor_shape(self, name: str) -> list[int]:
        return self.ports[name]

    def get_tensor_dtype(self, name: str) -> Element:
        return self._element

    def create_execution_context(self) -> Context:
        return Context(self)


class OldEngine(Engine):
    num_bindings = 2

    def get_binding_name(self, index: int) -> str:
        return self.names[index]

    def binding_is_input(self, index: int) -> bool:
        return index == 0

    def get_binding_shape(self, index: int) -> list[int]:
        return self.ports[self.names[index]]

    def get_binding_dtype(self, index: int) -> Element:
        return self._element

    def create_execution_context(self) -> OldContext:
        return OldContext(self)


@pytest.fixture
def engine_file(tmp_path: Path) -> Path:
    """What stands in for a plan is the network itself: the sums of three weighted colours of four pixels."""
    weight = np.arange(12, dtype=np.float32).reshape(12, 1) @ np.array([[1, -1]], np.float32)
    nodes = [
        helper.make_node("Flatten", ["input"], ["flat"], "flat"),
        helper.make_node("MatMul", ["flat", "weight"], ["logits"], "product"),
    ]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 2, 2])
    target = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])
    graph = helper.make_graph(nodes, "small", [source], [target], [numpy_helper.from_array(weight, "weight")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    file = tmp_path / "model.engine"
    file.write_bytes(model.SerializeToString())
    return file


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Memory]:
    """``on(NewEngine)``: a TensorRT whose engines are of this class, on a GPU that is this machine's memory."""

    def install(kind: type[Engine] | None, *, captures: bool = True, element: Element = Element.FLOAT) -> Memory:
        memory = Memory(captures)

        class Logger:
            pass

        class Runtime:
            def __init__(self, log: Any) -> None:
                self._log = log

            def deserialize_cuda_engine(self, content: bytes) -> Engine | None:
                if kind is None:
                    self._log.log(SimpleNamespace(name="ERROR"), "The engine plan file is generated on another device")
                    return None
                return kind(content, memory, element)

        trt = SimpleNamespace(ILogger=Logger, Runtime=Runtime, TensorIOMode=Mode)
        monkeypatch.setattr(runtime, "_engine", lambda: trt)
        monkeypatch.setattr(gpu, "opened", lambda: memory)
        return memory

    return install


IMAGES = np.random.default_rng(0).standard_normal((5, 3, 2, 2), dtype=np.float32)
SUMS = IMAGES.reshape(5, 12) @ np.arange(12, dtype=np.float32)


@pytest.mark.parametrize("kind", [NewEngine, OldEngine])
@pytest.mark.parametrize("captures", [True, False])
def test_what_goes_in_and_comes_out_is_right_with_both_interfaces(
    kind: type[Engine], captures: bool, on: Callable[..., Memory], engine_file: Path
) -> None:
    memory = on(kind, captures=captures)
    with runtime.Session(engine_file, DEVICE, streams=2) as session:
        assert session.input_shape == (1, 3, 2, 2)
        np.testing.assert_allclose(session.outputs(IMAGES), np.stack([SUMS, -SUMS], 1), rtol=1e-5)
        assert bool(memory.launched) == captures
        assert len(memory.held) == 4
    assert not memory.held, "all that was allocated is freed"


def test_times_are_those_of_the_gpu_alone(on: Callable[..., Memory], engine_file: Path) -> None:
    memory = on(NewEngine)
    with runtime.Session(engine_file, DEVICE) as session:
        before = memory.ticks
        assert session.time(7) == [TICK_MS] * 7
        assert memory.ticks == before + 7


def test_an_engine_of_another_gpu_is_one_line(on: Callable[..., Memory], engine_file: Path) -> None:
    on(None)
    with pytest.raises(HqpError, match=r"does not open the engine .*: The engine plan file is generated on another"):
        runtime.Session(engine_file, DEVICE).__enter__()


def test_an_engine_that_takes_no_float_is_refused(on: Callable[..., Memory], engine_file: Path) -> None:
    on(NewEngine, element=Element.HALF)
    with pytest.raises(HqpError, match="it takes HALF 1x3x2x2 and gives HALF 1x2"):
        runtime.Session(engine_file, DEVICE).__enter__()


# --- CUDA's own library, without a GPU ---


@pytest.fixture
def library() -> ctypes.CDLL:
    try:
        return cuda.library()
    except HqpError as error:
        pytest.skip(error.wrong)


def test_every_function_that_is_called_is_in_the_real_library(library: ctypes.CDLL) -> None:
    source = Path(cuda.__file__).read_text()
    called = set(re.findall(r'(?:"|library\.)(cuda[A-Z]\w+)', source))
    assert {"cudaMalloc", "cudaGraphInstantiateWithFlags", "cudaGetErrorString"} <= called and len(called) > 14
    assert [name for name in sorted(called) if not hasattr(library, name)] == []


def test_a_machine_without_a_gpu_is_one_line(library: ctypes.CDLL) -> None:
    try:
        cuda.Cudart(library)
    except HqpError as error:
        assert error.wrong.startswith("CUDA's cudaSetDevice failed: ")
        assert error.right == "an NVIDIA GPU with its driver"
    else:
        pytest.skip("there is a GPU")


# --- ONNX Runtime on a GPU, without one ---


def test_an_onnxruntime_without_cuda_says_what_to_install(engine_file: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this onnxruntime has CUDA: see tests/gpu")
    module = catalog.find("runtimes", "onnxruntime_cuda")
    session = module.Session(engine_file, catalog.find("devices", "cuda_onnxruntime").device)
    with pytest.raises(HqpError, match=r"this onnxruntime .* has no CUDA; .*pip install 'onnxruntime-gpu"):
        session.__enter__()
    told = {(finding.kind, finding.name): finding for finding in doctor()}
    for name in (("runtime", "onnxruntime_cuda"), ("device", "cuda_onnxruntime")):
        assert not told[name].usable and "has no CUDA" in told[name].state


def test_a_provider_that_falls_back_without_a_word_is_refused(
    engine_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = catalog.find("runtimes", "onnxruntime")
    real = onnxruntime.InferenceSession

    def falls_back(file: str, options: Any, providers: list[str]) -> Any:
        return real(file, options, providers=["CPUExecutionProvider"])

    monkeypatch.setattr(onnxruntime, "InferenceSession", falls_back)
    monkeypatch.setattr(module.Session, "provider", "CUDAExecutionProvider")
    with pytest.raises(HqpError, match="it runs it in CPUExecutionProvider, not in CUDAExecutionProvider"):
        module.Session(engine_file, catalog.find("devices", "cpu_onnxruntime").device).__enter__()


def test_a_stand_in_adds_biases_in_float(tmp_path: Path) -> None:
    """A bias of a quarter of a step: int32, by the product of the scales, would make 0 of it."""
    arrays = {
        "scale": np.float32(1),
        "step": np.float32(0.25),
        "zero": np.int8(0),
        "weight": np.ones((1, 3, 1, 1), np.int8),
        "weight_scale": np.ones(1, np.float32),
        "weight_zero": np.zeros(1, np.int8),
        "bias": np.full(1, 0.25, np.float32),
    }
    nodes = [
        helper.make_node("QuantizeLinear", ["input", "scale", "zero"], ["bytes"], "q"),
        helper.make_node("DequantizeLinear", ["bytes", "scale", "zero"], ["again"], "dq"),
        helper.make_node("DequantizeLinear", ["weight", "weight_scale", "weight_zero"], ["filter"], "w", axis=0),
        helper.make_node("Conv", ["again", "filter", "bias"], ["given"], "conv"),
        helper.make_node("QuantizeLinear", ["given", "step", "zero"], ["narrow"], "q2"),
        helper.make_node("DequantizeLinear", ["narrow", "step", "zero"], ["wide"], "dq2"),
        helper.make_node("Flatten", ["wide"], ["logits"], "flat"),
    ]
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 1, 2])
    target = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 2])
    tensors = [numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()]
    graph = helper.make_graph(nodes, "biased", [source], [target], tensors)
    file = tmp_path / "model.onnx"
    file.write_bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )
    stand_in = catalog.find("devices", DEVICE.stand_in).device
    with catalog.find("runtimes", stand_in.runtime).Session(file, stand_in) as session:
        given = session.outputs(np.array([[[[1, 2]], [[3, 4]], [[5, 6]]]], np.float32))
    assert given.tolist() == [[9.25, 12.25]]
