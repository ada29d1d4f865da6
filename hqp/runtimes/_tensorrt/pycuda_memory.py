"""Memory, streams and events through PyCUDA, in the primary context; graphs, which it has not, by ``libcudart``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hqp.runtimes._tensorrt.cuda import Array, Cuda, Cudart


class PyCuda(Cuda):
    """The first GPU through PyCUDA, and ``library`` for the graphs; both are in the same context."""

    def __init__(self, library: Cudart) -> None:
        # autoinit would make a context of its own, in which TensorRT's handles are not valid.
        import pycuda.autoprimaryctx
        import pycuda.driver

        self._driver, self._library = pycuda.driver, library
        # PyCUDA frees what is no longer referred to.
        self._held: dict[int, Any] = {}

    def allocate(self, size: int) -> int:
        memory = self._driver.mem_alloc(size)
        self._held[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        self._held.pop(address).free()

    def stream(self) -> int:
        stream = self._driver.Stream()
        self._held[stream.handle] = stream
        return int(stream.handle)

    def event(self) -> Any:
        return self._driver.Event()

    def to_device(self, address: int, array: Array, stream: int) -> None:
        self._driver.memcpy_htod_async(address, array, self._held[stream])

    def to_host(self, array: Array, address: int, stream: int) -> None:
        self._driver.memcpy_dtoh_async(array, address, self._held[stream])

    def record(self, event: Any, stream: int) -> None:
        event.record(self._held[stream])

    def elapsed_ms(self, start: Any, end: Any) -> float:
        end.synchronize()
        return float(start.time_till(end))

    def wait(self, stream: int) -> None:
        self._held[stream].synchronize()

    def capture(self, stream: int, enqueue: Callable[[], object]) -> int:
        return self._library.capture(stream, enqueue)

    def launch(self, graph: int, stream: int) -> None:
        self._library.launch(graph, stream)
