"""TensorRT through its Python interface: JetPack 6 and 7, and a PC with an NVIDIA GPU.

An engine is built once for a file, a GPU and a version of TensorRT. Times are CUDA's, of the engine alone, from a CUDA
graph where one can be captured.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from hqp import documents
from hqp.errors import HqpError
from hqp.records import Device
from hqp.runtimes import TIMED_IMAGE_SEED, LocalSession, Request
from hqp.runtimes._tensorrt import gpu
from hqp.runtimes._tensorrt.execution import Execution, tensors
from hqp.runtimes._tensorrt.network import Network, logger, precisions_of, typed_for
from hqp.runtimes._trtexec import exported
from hqp.runtimes.trtexec import say_float_layers
from hqp.transport import HERE, Host

requires = ("tensorrt",)
opens = "onnx"

ENGINE, LAYERS = "model.engine", "layers.json"


def version(host: Host) -> str:
    """The version of TensorRT here, where it runs, e.g. ``10.3.0``."""
    return str(_engine().__version__)


def prepare(file: Path, device: Device, folder: Path) -> Path:
    """Builds the engine of a file on this GPU, and keeps what the inspector says of its layers beside it.

    Raises:
        HqpError: TensorRT refuses the file, finds no way to run it, or there is no GPU.
    """
    trt = _engine()
    cuda = gpu.opened()
    typed = typed_for(trt, file, folder)
    plan = build(trt, typed, _timing_cache(trt))
    if typed != file:
        typed.unlink()
    documents.write_bytes(folder / ENGINE, plan)
    engine = _opened(trt, folder / ENGINE, [])
    inspector = engine.create_engine_inspector()
    told = inspector.get_engine_information(trt.LayerInformationFormat.JSON)
    documents.write_bytes(folder / LAYERS, str(told).encode())
    precision = "int8" if "int8" in precisions_of(file) else "float"
    say_float_layers(HERE, exported.layers(str(told)), precision)
    execution = Execution(engine, cuda, tensors(trt, engine))
    if execution.no_graph:
        reason = f"no CUDA graph of this engine, so each inference is launched layer by layer: {execution.no_graph}"
        print(reason, file=sys.stderr)
    execution.close()
    return folder / ENGINE


def build(trt: ModuleType, file: Path, timing: Path) -> bytes:
    """The engine of a file, serialised; ``timing`` keeps what the builder timed, so that the next is built faster.

    Raises:
        HqpError: TensorRT refuses the file, or finds no way to run it.
    """
    with Network(trt, file) as network:
        config = network.config(precisions_of(file))
        known = timing.read_bytes() if timing.is_file() else b""
        cache = config.create_timing_cache(known)
        # Of another GPU or another TensorRT it is refused, and a new one begun.
        if not config.set_timing_cache(cache, False):
            cache = config.create_timing_cache(b"")
            config.set_timing_cache(cache, False)
        plan = network.build(config)
        timing.parent.mkdir(parents=True, exist_ok=True)
        timed = config.get_timing_cache()
        documents.write_bytes(timing, bytes(timed.serialize()))
        # What was made of the builder goes before it.
        del timed, cache, config
    return plan


def _timing_cache(trt: ModuleType) -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return root / "hqp" / f"tensorrt-{re.sub(r'[^0-9.]', '', str(trt.__version__))}.timing"


class Session(LocalSession):
    """An engine of ``prepare``, timed by CUDA events on the GPU."""

    _engine_opened: Any = None
    _executions: tuple[Execution, ...] = ()

    def _load(self) -> None:
        trt = _engine()
        self._cuda = gpu.opened()
        self._lines: list[str] = []
        engine = _opened(trt, self.file, self._lines)
        self._tensors = tensors(trt, engine)
        inputs, outputs = self._tensors.inputs, self._tensors.outputs
        self._check(self._tensors.ports(inputs), self._tensors.ports(outputs), float32="FLOAT")
        self._engine_opened = engine

    def _request(self) -> Request:
        execution = Execution(self._engine_opened, self._cuda, self._tensors)
        self._executions = (*self._executions, execution)
        return Request(execution.image, execution.logits, execution.run)

    def time(self, iterations: int) -> list[float]:
        """The times, in ms, on the GPU's own clock, of that many inferences of one fixed image, without transfers."""
        request, execution = self._opened()[0], self._executions[0]
        request.image[:] = np.random.default_rng(TIMED_IMAGE_SEED).standard_normal(request.image.shape, np.float32)
        execution.load()
        return execution.time(iterations)

    def _unload(self) -> None:
        for execution in self._executions:
            execution.close()
        self._executions = ()
        self._engine_opened = None


def _opened(trt: ModuleType, file: Path, lines: list[str]) -> Any:
    """The engine in a file.

    Raises:
        HqpError: it is of another TensorRT or another GPU, or no engine.
    """
    log = logger(trt, lines)
    runtime = trt.Runtime(log)
    engine = runtime.deserialize_cuda_engine(file.read_bytes())
    if engine is None:
        errors = [line.partition(": ")[2] for line in lines if "ERROR" in line.partition(": ")[0]]
        reason = errors[-1] if errors else "it gave no reason"
        raise HqpError(
            f"TensorRT does not open the engine {file}: {reason}", "one built by this TensorRT on this GPU", "hqp bench"
        )
    return engine


def _engine() -> ModuleType:
    import tensorrt

    module: ModuleType = tensorrt
    return module
