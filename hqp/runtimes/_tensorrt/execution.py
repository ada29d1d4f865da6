"""An engine that runs: its tensors by name, a context with its memory, and a CUDA graph of it where it may be."""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from hqp.errors import HqpError
from hqp.runtimes import Port
from hqp.runtimes._tensorrt.cuda import Array, Cuda


@dataclass(frozen=True)
class Tensors:
    """An engine's inputs and outputs by name; ``types`` and ``shapes`` are in its own order."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: dict[str, str]
    shapes: dict[str, tuple[int, ...]]

    def ports(self, names: tuple[str, ...]) -> list[Port]:
        """Type and shape of each of these."""
        return [(self.types[name], self.shapes[name]) for name in names]


def tensors(trt: ModuleType, engine: Any) -> Tensors:
    """The inputs and outputs of an engine; before 8.5 they are bindings."""
    if hasattr(engine, "num_io_tensors"):
        names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
        given = {name for name in names if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT}
        types = [engine.get_tensor_dtype(name) for name in names]
        shapes = [engine.get_tensor_shape(name) for name in names]
    else:
        count = range(engine.num_bindings)
        names = [engine.get_binding_name(index) for index in count]
        given = {name for index, name in enumerate(names) if engine.binding_is_input(index)}
        types = [engine.get_binding_dtype(index) for index in count]
        shapes = [engine.get_binding_shape(index) for index in count]
    return Tensors(
        inputs=tuple(name for name in names if name in given),
        outputs=tuple(name for name in names if name not in given),
        types={name: element.name for name, element in zip(names, types, strict=True)},
        shapes={name: tuple(shape) for name, shape in zip(names, shapes, strict=True)},
    )


class Execution:
    """One inference at a time of an engine with one input and one output, in a stream of its own.

    ``image`` and ``logits`` are this machine's; ``no_graph`` says why there is no CUDA graph, and is empty where there
    is one. To be closed, since what CUDA allocates nobody else frees.
    """

    def __init__(self, engine: Any, cuda: Cuda, found: Tensors) -> None:
        self._cuda, self._context = cuda, engine.create_execution_context()
        if self._context is None:
            raise HqpError("TensorRT makes no execution context of this engine", "more free memory on the GPU")
        (source,), (target,) = found.inputs, found.outputs
        self.image: Array = np.zeros(found.shapes[source], np.float32)
        self.logits: Array = np.zeros(found.shapes[target], np.float32)
        self._addresses = {source: cuda.allocate(self.image.nbytes), target: cuda.allocate(self.logits.nbytes)}
        self._source, self._target = self._addresses[source], self._addresses[target]
        self._order = [self._addresses[name] for name in found.shapes]
        self._stream, self._graph = cuda.stream(), 0
        self._bind()
        # Once without a graph: what TensorRT makes late would else be captured, which CUDA forbids.
        self._enqueue()
        cuda.wait(self._stream)
        self.no_graph = self._capture()

    def _bind(self) -> None:
        context = self._context
        if hasattr(context, "set_tensor_address"):
            for name, address in self._addresses.items():
                context.set_tensor_address(name, address)

    def _enqueue(self) -> None:
        context = self._context
        if hasattr(context, "execute_async_v3"):
            done = context.execute_async_v3(stream_handle=self._stream)
        else:
            done = context.execute_async_v2(bindings=self._order, stream_handle=self._stream)
        if not done:
            raise HqpError("TensorRT could not run its engine", "an engine that was built on this GPU")

    def _capture(self) -> str:
        try:
            self._graph = self._cuda.capture(self._stream, self._enqueue)
            self._cuda.launch(self._graph, self._stream)
            self._cuda.wait(self._stream)
        except HqpError as refused:
            self._graph = 0
            return refused.wrong
        return ""

    def _start(self) -> None:
        if self._graph:
            self._cuda.launch(self._graph, self._stream)
        else:
            self._enqueue()

    def load(self) -> None:
        """Brings the image to the GPU."""
        self._cuda.to_device(self._source, self.image, self._stream)

    def run(self) -> None:
        """One inference of ``image`` into ``logits``, with both transfers."""
        self.load()
        self._start()
        self._cuda.to_host(self.logits, self._target, self._stream)
        self._cuda.wait(self._stream)

    def time(self, iterations: int) -> list[float]:
        """The times on the GPU's own clock, in ms, of that many inferences of the loaded image, without transfers."""
        cuda, stream = self._cuda, self._stream
        start, end = cuda.event(), cuda.event()
        times_ms = []
        for _ in range(iterations):
            cuda.record(start, stream)
            self._start()
            cuda.record(end, stream)
            times_ms.append(cuda.elapsed_ms(start, end))
        return times_ms

    def close(self) -> None:
        """Frees what the GPU holds for it."""
        self._context = None
        for address in self._addresses.values():
            self._cuda.free(address)
        self._addresses = {}
