"""Runtimes: one file each.

A file defines

* ``requires``: the packages it needs, e.g. ``("openvino",)``;
* ``opens``: the export that it opens, e.g. ``"onnx"``;
* ``version(host) -> str``: the version of the engine on the host that it runs on; where that is here, it imports it;
* perhaps ``require_usable()``: raises ``HqpError`` where the packages are there and something else is missing;
* ``class Session(RuntimeSession)``: what opens a file on a device, gives its outputs and times it;
* perhaps ``prepare(file, device, folder) -> Path``: what ``Session`` opens, an engine or a compiled blob, made once in
  ``folder`` from the exported file. A runtime without it opens the exported file itself;
* perhaps ``operator_times(file, device, iterations) -> dict[str, list[float]]``: by the engine's own profiler, in
  sessions opened for that, the ms of each operator that it runs, in each of so many inferences;
* perhaps ``peak_memory_bytes(file, device) -> int | None``, where the engine runs elsewhere and that is told there.

An engine that runs in this process derives from ``LocalSession``, which owns the requests, the streams and the clock,
so that all of these are opened, run and timed by the same code. One that runs elsewhere, or times itself, derives from
``RuntimeSession`` and implements ``outputs`` and ``time``.
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

import numpy as np
import numpy.typing as npt
from typing_extensions import Self

from hqp.errors import HqpError
from hqp.records import Device

Float32 = npt.NDArray[np.float32]

# Long enough for the engine's own sentence, short enough for one line of a terminal.
REASON_LENGTH = 160

# The element type of a port as the engine spells it, and its shape: anything but a number where it is dynamic.
Port = tuple[str, Sequence[object]]

# The timed image is the same in every process, and noise: zeros would let denormal or sparse paths flatter.
TIMED_IMAGE_SEED = 0


class RuntimeSession(ABC):
    """One file of static shape and batch 1, opened on a device: it gives outputs and times, and is closed.

    ``file`` is what the runtime's ``prepare`` made. The device's ``threads`` work on one inference; ``streams``
    inferences may run at a time in ``outputs``. The results are the same for every number of streams, so accuracy may
    use all cores while latency uses one stream.

    Constructing a session touches nothing. Entering it opens the file, leaving it closes it.
    """

    def __init__(self, file: Path, device: Device, *, streams: int = 1) -> None:
        if device.threads < 1 or streams < 1:
            wrong = f"threads is {device.threads} and streams is {streams}"
            raise HqpError(wrong, "both are at least 1", "threads=1")
        self.file, self.device, self.streams = file, device, streams

    def __enter__(self) -> Self:
        if not self.file.is_file():
            raise HqpError(f"there is no file {self.file}", "a model.onnx of an artefact", "hqp compress")
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    @abstractmethod
    def outputs(self, images: Float32) -> Float32:
        """The logits (n, classes) of a batch of normalised images (n, channels, height, width), in their order."""

    @abstractmethod
    def time(self, iterations: int) -> list[float]:
        """The times, in ms, of that many inferences of one sample each, one after the other."""

    def _open(self) -> None:  # noqa: B027 - a tool that is started anew for each call opens nothing
        """Opens the file; raises ``HqpError`` where the runtime refuses it."""

    def _close(self) -> None:  # noqa: B027
        """Releases what ``_open`` took; does nothing where nothing was opened."""

    def _refused(self, reason: str) -> HqpError:
        """The error for a file that the engine does not run, with the engine's reason on one short line."""
        line = " ".join(reason.split()).rstrip(".")
        shown = line if len(line) <= REASON_LENGTH else line[: REASON_LENGTH - 1] + "…"
        return HqpError(
            f"{self.device.runtime} does not run {self.file}: {shown}",
            "a static float32 image (1, channels, height, width) in, logits (1, classes) out",
            "hqp compress",
        )


@dataclass(frozen=True, eq=False)
class Request:
    """Everything one inference needs, allocated once: ``run()`` reads ``image`` and writes ``logits`` in place.

    ``image`` is float32 of shape (1, channels, height, width), ``logits`` float32 of shape (1, classes).
    """

    image: Float32
    logits: Float32
    run: Callable[[], object]


class LocalSession(RuntimeSession):
    """A session of an engine in this process, which says how it loads a file and makes a ``Request`` of it."""

    _requests: tuple[Request, ...] = ()

    def _open(self) -> None:
        self._load()
        self._requests = tuple(self._request() for _ in range(self.streams))

    def _close(self) -> None:
        # Requests hold on to the engine, so they go first.
        self._requests = ()
        self._unload()

    @property
    def input_shape(self) -> tuple[int, int, int, int]:
        """The shape (1, channels, height, width) of the file's one input."""
        batch, channels, height, width = self._opened()[0].image.shape
        return batch, channels, height, width

    def outputs(self, images: Float32) -> Float32:
        """The logits of a batch, one image a request, as many at a time as there are streams.

        Raises:
            HqpError: the images do not have the shape of the file's input.
        """
        requests = self._opened()
        if images.shape[1:] != self.input_shape[1:]:
            raise HqpError(f"images of shape {images.shape[1:]} for {self.file}", f"it takes {self.input_shape[1:]}")
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
        """The wall-clock times, in ms, of that many single inferences of one fixed image.

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

    @abstractmethod
    def _load(self) -> None:
        """Loads the file into the engine; raises ``HqpError`` where the engine refuses it."""

    @abstractmethod
    def _request(self) -> Request:
        """A new request of the loaded file that has run once, so that what the engine makes late is made."""

    @abstractmethod
    def _unload(self) -> None:
        """Releases what ``_load`` took; does nothing where nothing was loaded."""

    def _opened(self) -> tuple[Request, ...]:
        if not self._requests:
            raise HqpError(f"the session of {self.file} is not open", "a session is used inside its with block")
        return self._requests

    def _check(self, inputs: Sequence[Port], outputs: Sequence[Port], float32: str) -> None:
        """Holds a file to the contract: one float32 image in, float32 logits out, nothing dynamic.

        ``float32`` is how the engine spells that element type.

        Raises:
            HqpError: it does not keep to it.
        """
        ports = (*inputs, *outputs)
        sizes = [size for _, shape in ports for size in shape]
        static = all(isinstance(size, int) and size > 0 for size in sizes)
        floating = all(element == float32 for element, _ in ports)
        ranks = [len(shape) for _, shape in inputs] == [4] and [len(shape) for _, shape in outputs] == [2]
        if not (static and floating and ranks and inputs[0][1][0] == 1):
            raise self._refused(f"it takes {_described(inputs)} and gives {_described(outputs)}")


def _described(ports: Sequence[Port]) -> str:
    return ", ".join(f"{element} {'x'.join(str(size) for size in shape)}" for element, shape in ports) or "nothing"
