"""What an engine needs of CUDA: memory, streams, events and graphs; and ``libcudart``, which has all of them."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from hqp.errors import HqpError

Array = npt.NDArray[np.float32]

# Where JetPack and the CUDA packages of PyPI put it, beside what the loader finds by itself.
LIBRARIES = ("libcudart.so", "libcudart.so.13", "libcudart.so.12", "libcudart.so.11.0", "libcudart.so.10.2")
FOLDERS = "cuda*/lib64/libcudart.so*", "cuda*/targets/*/lib/libcudart.so*"

TO_DEVICE, TO_HOST = 1, 2  # cudaMemcpyKind
CAPTURE_THREAD = 1  # cudaStreamCaptureModeThreadLocal


class Cuda(Protocol):
    """Memory, streams and events on one GPU; addresses and handles are numbers, as TensorRT takes them."""

    def allocate(self, size: int) -> int:
        """The address of so many bytes on the GPU."""

    def free(self, address: int) -> None:
        """Gives them back."""

    def stream(self) -> int:
        """The handle of a new stream."""

    def event(self) -> Any:
        """A new event, which knows when a stream came by."""

    def to_device(self, address: int, array: Array, stream: int) -> None:
        """Copies an array to the GPU, in the order of a stream."""

    def to_host(self, array: Array, address: int, stream: int) -> None:
        """Copies from the GPU into an array, in the order of a stream."""

    def record(self, event: Any, stream: int) -> None:
        """Lets an event know when all that a stream was given so far is done."""

    def elapsed_ms(self, start: Any, end: Any) -> float:
        """Waits for the second of two events, and says how many ms lie between them on the GPU's own clock."""

    def wait(self, stream: int) -> None:
        """Waits until a stream has nothing left to do."""

    def capture(self, stream: int, enqueue: Callable[[], object]) -> int:
        """The handle of a CUDA graph of what ``enqueue`` gives a stream; ``HqpError`` where it cannot be captured."""

    def launch(self, graph: int, stream: int) -> None:
        """Gives a stream a graph."""


def library() -> ctypes.CDLL:
    """CUDA's runtime library, wherever JetPack, CUDA's installer or a package of PyPI put it.

    Raises:
        HqpError: it is nowhere.
    """
    places = [ctypes.util.find_library("cudart"), *LIBRARIES]
    places += [str(path) for pattern in FOLDERS for path in sorted(Path("/usr/local").glob(pattern))]
    places += [str(path) for path in _packaged()]
    for place in filter(None, places):
        try:
            return ctypes.CDLL(place)
        except OSError:
            continue
    raise HqpError("there is no libcudart here", "NVIDIA's CUDA runtime", "pip install nvidia-cuda-runtime")


def _packaged() -> list[Path]:
    """The library as PyPI's packages of CUDA bring it."""
    found = importlib.util.find_spec("nvidia")
    folders = list(found.submodule_search_locations or ()) if found else []
    return [file for folder in folders for file in sorted(Path(folder).glob("*/lib/libcudart.so.*"))]


class Cudart(Cuda):
    """CUDA's runtime library, called through ctypes.

    Raises:
        HqpError: there is no GPU, or a driver too old for this library.
    """

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        library.cudaGetErrorString.restype = ctypes.c_char_p
        self._call("cudaSetDevice", 0)
        # Makes the primary context; else the first call that needs it would be timed with that.
        self._call("cudaFree", None)

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code:
            # An error that is read is forgotten, so that the next call is not blamed for it.
            self._library.cudaGetLastError()
            reason = self._library.cudaGetErrorString(code).decode()
            raise HqpError(f"CUDA's {name} failed: {reason}", "an NVIDIA GPU with its driver", "hqp doctor")

    def _made(self, name: str, *arguments: Any) -> int:
        handle = ctypes.c_void_p()
        self._call(name, ctypes.byref(handle), *arguments)
        return int(handle.value or 0)

    def allocate(self, size: int) -> int:
        return self._made("cudaMalloc", ctypes.c_size_t(size))

    def free(self, address: int) -> None:
        self._call("cudaFree", ctypes.c_void_p(address))

    def stream(self) -> int:
        return self._made("cudaStreamCreate")

    def event(self) -> int:
        return self._made("cudaEventCreate")

    def to_device(self, address: int, array: Array, stream: int) -> None:
        self._copy(address, array.ctypes.data, array.nbytes, TO_DEVICE, stream)

    def to_host(self, array: Array, address: int, stream: int) -> None:
        self._copy(array.ctypes.data, address, array.nbytes, TO_HOST, stream)

    def _copy(self, target: int, source: int, size: int, kind: int, stream: int) -> None:
        ends = ctypes.c_void_p(target), ctypes.c_void_p(source)
        self._call("cudaMemcpyAsync", *ends, ctypes.c_size_t(size), kind, ctypes.c_void_p(stream))

    def record(self, event: int, stream: int) -> None:
        self._call("cudaEventRecord", ctypes.c_void_p(event), ctypes.c_void_p(stream))

    def elapsed_ms(self, start: int, end: int) -> float:
        self._call("cudaEventSynchronize", ctypes.c_void_p(end))
        elapsed = ctypes.c_float()
        self._call("cudaEventElapsedTime", ctypes.byref(elapsed), ctypes.c_void_p(start), ctypes.c_void_p(end))
        return float(elapsed.value)

    def wait(self, stream: int) -> None:
        self._call("cudaStreamSynchronize", ctypes.c_void_p(stream))

    def capture(self, stream: int, enqueue: Callable[[], object]) -> int:
        self._call("cudaStreamBeginCapture", ctypes.c_void_p(stream), CAPTURE_THREAD)
        try:
            enqueue()
        finally:
            graph = ctypes.c_void_p()
            self._call("cudaStreamEndCapture", ctypes.c_void_p(stream), ctypes.byref(graph))
        # cudaGraphInstantiate itself takes other arguments from CUDA 12 on.
        return self._made("cudaGraphInstantiateWithFlags", graph, ctypes.c_ulonglong(0))

    def launch(self, graph: int, stream: int) -> None:
        self._call("cudaGraphLaunch", ctypes.c_void_p(graph), ctypes.c_void_p(stream))
