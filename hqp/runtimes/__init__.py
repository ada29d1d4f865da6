"""Runtimes: one file each.

A file defines

* ``requires``: the packages it needs, e.g. ``("openvino",)``;
* ``version() -> str``: the version of the engine that is installed here; it imports the engine;
* ``class Session(RuntimeSession)``: how this engine opens a file and makes a ``Request`` for it.

The base owns the lifecycle, the streams and the clock, so that every runtime is opened, run and timed by the same code:
constructing a session touches nothing, entering it opens the file, leaving it closes it.
"""

from __future__ import annotations

import gc
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from hqp.errors import HqpError

Float32 = npt.NDArray[np.float32]

# Long enough for the engine's own sentence, short enough for one line of a terminal.
REASON_LENGTH = 160

# The element type of a port as the engine spells it, and its shape: anything but a number where it is dynamic.
Port = tuple[str, Sequence[object]]

# The timed image is the same in every process, and noise: zeros would let denormal or sparse paths flatter.
TIMED_IMAGE_SEED = 0


@dataclass(frozen=True, eq=False)
class Request:
    """Everything one inference needs, allocated once: ``run()`` reads ``image`` and writes ``logits`` in place.

    ``image`` is float32 of shape (1, channels, height, width), ``logits`` float32 of shape (1, classes).
    """

    image: Float32
    logits: Float32
    run: Callable[[], object]


class RuntimeSession(ABC):
    """One ONNX file of static shape and batch 1, opened in one runtime with a declared number of threads.

    ``threads`` work on one inference. ``streams`` inferences run at a time in ``outputs``; the results are the same
    for every number of streams, so accuracy may use all cores while latency uses one stream. ``engine`` is the engine's
    name in messages, ``float32`` how it spells that element type.
    """

    engine: ClassVar[str]
    float32: ClassVar[str]

    def __init__(self, model: Path, *, threads: int, streams: int = 1) -> None:
        if threads < 1 or streams < 1:
            raise HqpError(f"threads is {threads} and streams is {streams}", "both are at least 1", "threads=1")
        self.model, self.threads, self.streams = model, threads, streams
        self._requests: tuple[Request, ...] = ()

    def __enter__(self) -> Self:
        if not self.model.is_file():
            raise HqpError(f"there is no file {self.model}", "a model.onnx of an artefact", "hqp compress")
        try:
            self._open()
            self._requests = tuple(self._request() for _ in range(self.streams))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._requests = ()
        self._close()

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The shape (1, channels, height, width) of the file's one input."""
        batch, channels, height, width = self._opened()[0].image.shape
        return batch, channels, height, width

    def outputs(self, images: Float32) -> Float32:
        """The logits (n, classes) of normalised images (n, channels, height, width), in their order.

        Raises:
            HqpError: the images do not have the shape of the file's input.
        """
        requests = self._opened()
        if images.shape[1:] != self.input_shape[1:]:
            raise HqpError(f"images of shape {images.shape[1:]} for {self.model}", f"it takes {self.input_shape[1:]}")
        logits = np.empty((len(images), requests[0].logits.shape[1]), np.float32)

        def stream(number: int) -> None:
            request = requests[number]
            for index in range(number, len(images), len(requests)):
                request.image[0] = images[index]
                request.run()
                logits[index] = request.logits[0]

        if len(requests) == 1:
            stream(0)
        else:
            with ThreadPoolExecutor(len(requests)) as pool:
                list(pool.map(stream, range(len(requests))))
        return logits

    def time(self, iterations: int) -> list[float]:
        """The wall-clock times, in ms, of that many single inferences of one fixed image, one after the other.

        The clock stands around the engine's call alone; Python's garbage collector is off meanwhile.
        """
        request = self._opened()[0]
        request.image[:] = np.random.default_rng(TIMED_IMAGE_SEED).standard_normal(request.image.shape, np.float32)
        run, clock = request.run, time.perf_counter_ns
        samples_ns = [0] * iterations
        collecting = gc.isenabled()
        gc.disable()
        try:
            for index in range(iterations):
                start = clock()
                run()
                samples_ns[index] = clock() - start
        finally:
            if collecting:
                gc.enable()
        return [sample / 1e6 for sample in samples_ns]

    def _opened(self) -> tuple[Request, ...]:
        if not self._requests:
            raise HqpError(f"the session of {self.model} is not open", "a session is used inside its with block")
        return self._requests

    def _refused(self, reason: str) -> HqpError:
        """The error for a file that the engine does not run, with the engine's reason on one short line."""
        line = " ".join(reason.split()).rstrip(".")
        shown = line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
        return HqpError(
            f"{self.engine} does not run {self.model}: {shown}",
            "a static float32 image (1, channels, height, width) in, logits (1, classes) out",
            "hqp compress",
        )

    def _check(self, inputs: Sequence[Port], outputs: Sequence[Port]) -> None:
        """Holds a file to the contract: one float32 image in, float32 logits out, nothing dynamic.

        Raises:
            HqpError: it does not keep to it.
        """
        ports = (*inputs, *outputs)
        sizes = [size for _, shape in ports for size in shape]
        static = all(isinstance(size, int) and size > 0 for size in sizes)
        floating = all(element == self.float32 for element, _ in ports)
        ranks = [len(shape) for _, shape in inputs] == [4] and [len(shape) for _, shape in outputs] == [2]
        if not (static and floating and ranks and inputs[0][1][0] == 1):
            raise self._refused(f"it takes {_described(inputs)} and gives {_described(outputs)}")

    @abstractmethod
    def _open(self) -> None:
        """Opens the file; raises ``HqpError`` where the runtime refuses it."""

    @abstractmethod
    def _request(self) -> Request:
        """A new request of the open file that has run once, so that what the engine makes late is made."""

    @abstractmethod
    def _close(self) -> None:
        """Releases what ``_open`` took; does nothing where nothing was opened."""


def _described(ports: Sequence[Port]) -> str:
    return ", ".join(f"{element} {'x'.join(str(size) for size in shape)}" for element, shape in ports) or "nothing"
