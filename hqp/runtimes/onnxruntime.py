"""ONNX Runtime on the CPU, with its own graph optimisations and nothing of its defaults that depends on the machine."""

from __future__ import annotations

import json
import re
import tempfile
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from hqp import onnx_rules
from hqp.records import Device
from hqp.runtimes import LocalSession, Port, Request
from hqp.transport import Host

requires = ("onnxruntime",)
opens = "onnx"

# The activations that it fuses into the convolution before them.
FUSED = ("Clip", "HardSigmoid", "LeakyRelu", "Relu", "Sigmoid", "Tanh")
# What ends the name of an operator that takes its channels in blocks; before it stands the tensor that it gives.
IN_BLOCKS = "_nchwc"

FATAL = 4  # ONNX Runtime's severity above which nothing is logged: what goes wrong arrives as an exception.


def version(host: Host) -> str:
    """The version of ONNX Runtime here, where it runs, e.g. ``1.31.1``."""
    import onnxruntime

    return str(onnxruntime.__version__)


class Session(LocalSession):
    """An ONNX file in one execution provider; requests are bound to their arrays, so a run allocates nothing."""

    provider: ClassVar[str] = "CPUExecutionProvider"
    _session: Any = None

    def _load(self) -> None:
        import onnxruntime

        onnxruntime.disable_telemetry_events()
        try:
            session = onnxruntime.InferenceSession(str(self.file), self._options(), providers=[self.provider])
        except _refusals() as error:
            raise self._refused(_reason(str(error))) from None
        if session.get_providers()[0] != self.provider:
            # It falls back to another one without a word where a library of the provider is missing.
            raise self._refused(f"it runs it in {session.get_providers()[0]}, not in {self.provider}")
        inputs = [_port(port) for port in session.get_inputs()]
        outputs = [_port(port) for port in session.get_outputs()]
        self._check(inputs, outputs, float32="tensor(float)")
        self._session = session

    def _options(self) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        # Of one inference: each stream's calling thread is the first of its threads.
        options.intra_op_num_threads = self.device.threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.log_severity_level = FATAL
        if self.device.policy.symmetric:
            # A file for TensorRT is judged by what its Q and DQ say; the kernels for INT8 here round biases to int32.
            options.add_session_config_entry("session.disable_quant_qdq", "1")
        # Idle workers of one session would spin on the core that the other arm of a block is timed on.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        return options

    def _request(self) -> Request:
        taken, given = self._session.get_inputs()[0], self._session.get_outputs()[0]
        image, logits = np.zeros(taken.shape, np.float32), np.zeros(given.shape, np.float32)
        binding = self._session.io_binding()
        binding.bind_input(taken.name, "cpu", 0, np.float32, image.shape, image.ctypes.data)
        binding.bind_output(given.name, "cpu", 0, np.float32, logits.shape, logits.ctypes.data)
        session = self._session

        def run() -> None:
            session.run_with_iobinding(binding)

        try:
            run()
        except _refusals() as error:
            raise self._refused(_reason(str(error))) from None
        return Request(image, logits, run)

    def _unload(self) -> None:
        self._session = None


class _Profiled(Session):
    """A session that writes what each of its operators takes to a file below ``folder``."""

    folder: str = ""

    def _options(self) -> Any:
        options = super()._options()
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(self.folder, "profile"))
        return options

    def written(self) -> Path:
        """The file, to which nothing is added from now on."""
        return Path(self._session.end_profiling())


def operator_times(file: Path, device: Device, iterations: int) -> dict[str, list[float]]:
    """The ms of each operator that ONNX Runtime runs, in each of so many inferences, by its own profiler."""
    session = _Profiled(file, device)
    with tempfile.TemporaryDirectory() as session.folder, session:
        session.time(2 * iterations)
        events = json.loads(session.written().read_text(encoding="utf-8"))
    nodes = onnx_rules.read(file).graph.node
    made_by = {tensor: node for node in nodes for tensor in node.output}
    times_ms: dict[str, list[float]] = {}
    for event in events:
        operator, kernel, _ = event["name"].partition("_kernel_time")
        if kernel:
            times_ms.setdefault(_nodes_of(operator, made_by), []).append(event["dur"] / 1e3)
    # The first inferences find nothing in the caches.
    return {operator: times[-iterations:] for operator, times in times_ms.items()}


def _nodes_of(operator: str, made_by: dict[str, Any]) -> str:
    """The nodes of the file that an operator runs, ``/conv1/Conv + /relu/Relu``; its own name where it tells none."""
    tensor = operator.removesuffix(IN_BLOCKS)
    if tensor == operator or tensor not in made_by:
        return operator
    nodes = [made_by[tensor]]
    while nodes[0].op_type in FUSED and nodes[0].input[0] in made_by:
        nodes.insert(0, made_by[nodes[0].input[0]])
    return " + ".join(node.name for node in nodes)


def _refusals() -> tuple[type[Exception], ...]:
    """What ONNX Runtime raises for a file that it does not take; its exceptions have no common base."""
    from onnxruntime.capi import onnxruntime_pybind11_state as state

    named = "Fail InvalidArgument InvalidGraph InvalidProtobuf NoSuchFile NotImplemented RuntimeException EPFail"
    return (*(getattr(state, name) for name in named.split()), RuntimeError, ValueError)


def _port(port: Any) -> Port:
    return port.type, port.shape


def _reason(message: str) -> str:
    """An ONNX Runtime error without its code, the file's name and the place in its sources."""
    said = re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", message)
    said = re.sub(r"^Load model from .* failed:\s*", "", said)
    return re.sub(r"^/\S+:\d+ .*?\) ", "", said)
