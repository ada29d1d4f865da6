"""ONNX Runtime on an NVIDIA GPU: its CUDA provider alone, which it is asked for after opening."""

from __future__ import annotations

import gc
import time
from types import ModuleType
from typing import Any, ClassVar

import numpy as np

from hqp.errors import HqpError
from hqp.runtimes import TIMED_IMAGE_SEED, onnxruntime
from hqp.transport import Host

requires = ("onnxruntime",)
opens = "onnx"

PROVIDER = "CUDAExecutionProvider"
GPU, FIRST = "cuda", 0


def version(host: Host) -> str:
    """The version of ONNX Runtime here, where it runs."""
    return str(_engine().__version__)


def require_usable() -> None:
    """Passes where the ONNX Runtime that is installed has its CUDA provider.

    Raises:
        HqpError: it has not.
    """
    _engine()


class Session(onnxruntime.Session):
    """An ONNX file in the CUDA provider; its outputs come with both transfers, its times are without them."""

    provider: ClassVar[str] = PROVIDER

    def _load(self) -> None:
        _engine()
        super()._load()

    def time(self, iterations: int) -> list[float]:
        """The times, in ms, of that many inferences of one image that is on the GPU, each waited for.

        They are wall-clock times: ONNX Runtime gives its stream away to nobody whose events could stand in it.
        """
        shape = self.input_shape
        image = np.random.default_rng(TIMED_IMAGE_SEED).standard_normal(shape, np.float32)
        session, binding = self._session, self._on_gpu(image)
        session.run_with_iobinding(binding)
        binding.synchronize_outputs()
        times_ms = []
        gc.collect()
        for _ in range(iterations):
            start = time.perf_counter_ns()
            session.run_with_iobinding(binding)
            binding.synchronize_outputs()
            times_ms.append((time.perf_counter_ns() - start) / 1e6)
        return times_ms

    def _on_gpu(self, image: Any) -> Any:
        """A binding whose image lies on the GPU already, and whose logits stay there."""
        values = _engine().OrtValue.ortvalue_from_numpy(image, GPU, FIRST)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._session.get_inputs()[0].name, values)
        binding.bind_output(self._session.get_outputs()[0].name, GPU, FIRST)
        return binding


def _engine() -> ModuleType:
    """ONNX Runtime with its CUDA provider.

    Raises:
        HqpError: the one that is installed has none.
    """
    import onnxruntime

    if PROVIDER not in onnxruntime.get_available_providers():
        fix = "pip uninstall onnxruntime; pip install 'onnxruntime-gpu[cuda,cudnn]'"
        raise HqpError(f"this onnxruntime {onnxruntime.__version__} has no CUDA", "onnxruntime-gpu in its place", fix)
    module: ModuleType = onnxruntime
    return module
