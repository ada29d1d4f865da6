"""OpenVINO on the CPU, in FP32 except where the file itself says INT8 or BF16."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from hqp import typings
from hqp.foreign import without_telemetry
from hqp.records import Device
from hqp.runtimes import LocalSession, Port, Request
from hqp.transport import Host

requires = ("openvino",)
opens = "onnx"

# Inferences whose mean a counter tells: enough that the first, which finds nothing in the caches, hardly counts.
COUNTED = 50

# Beginnings of those lines of an error that say where in OpenVINO it arose, not what is wrong with the file.
_WHERE = ("Exception from ", "Check '", "FrontEnd API", "Summary:", "Conversion is failed")


def version(host: Host) -> str:
    """The version and build of OpenVINO here, where it runs, e.g. ``2026.4.1-22982``."""
    return "-".join(str(_engine().__version__).split("-")[:2])


# There is no `prepare`: a compiled blob opens 0.04 to 0.1 s sooner and gives the same bits, but takes 15% less memory
# than the ONNX file that is deployed and whose peak memory is measured.
class Session(LocalSession):
    """An ONNX file compiled by OpenVINO's CPU plug-in; nothing is cached on disk and nothing is reported home."""

    _compiled: Any = None

    def _load(self) -> None:
        openvino = _engine()
        frontend = openvino.frontend.FrontEndManager().load_by_framework("onnx")
        # Asked first, since read_model tries every other front end on what is no ONNX and they write to stderr.
        if not frontend.supported(str(self.file)):
            raise self._refused("it is no ONNX file")
        try:
            core = openvino.Core()
            model = core.read_model(str(self.file))
            hint = self._precision_hint(core, model)
            compiled = core.compile_model(model, "CPU", {**self._properties(), "INFERENCE_PRECISION_HINT": hint})
        except RuntimeError as error:
            raise self._refused(_reason(str(error))) from None
        inputs = [_port(port) for port in compiled.inputs]
        outputs = [_port(port) for port in compiled.outputs]
        self._check(inputs, outputs, float32="f32")
        self._compiled = compiled

    def _precision_hint(self, core: Any, model: Any) -> str:
        """What OpenVINO calls the precision that the file wants of it beside INT8.

        Left alone it is BF16 or FP16 where the CPU has it, and the FP32 reference would not be FP32.

        Raises:
            HqpError: the processor lacks it; OpenVINO would take FP32 without a word.
        """
        wanted = typings.computed_in_openvino(model)
        if wanted.upper() not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
            raise self._refused(f"it computes in {wanted.upper()}, which this processor lacks")
        return typings.OPENVINO_HINTS[wanted]

    def _properties(self) -> dict[str, Any]:
        return {
            # Of all streams together. Left alone the engine takes every core.
            "INFERENCE_NUM_THREADS": self.device.threads * self.streams,
            "NUM_STREAMS": str(self.streams),
            # A float activation on INT8 weights stays float: what is quantised is what the file says, statically.
            "DYNAMIC_QUANTIZATION_GROUP_SIZE": "0",
            # A pinned thread cannot leave a core that another process takes, and macOS has no pinning at all.
            "ENABLE_CPU_PINNING": False,
        }

    def _request(self) -> Request:
        request = self._compiled.create_infer_request()
        run = partial(request.infer, share_outputs=True)
        try:
            run()
        except RuntimeError as error:
            raise self._refused(_reason(str(error))) from None
        return Request(request.get_input_tensor().data, request.get_output_tensor().data, run)

    def _unload(self) -> None:
        self._compiled = None


class _Profiled(Session):
    """A session whose request counts what each of its operators takes."""

    request: Any = None

    def _properties(self) -> dict[str, Any]:
        return {**super()._properties(), "PERF_COUNT": True}

    def _request(self) -> Request:
        self.request = self._compiled.create_infer_request()
        return Request(self.request.get_input_tensor().data, self.request.get_output_tensor().data, self.request.infer)


def operator_times(file: Path, device: Device, iterations: int) -> dict[str, list[float]]:
    """The ms of each operator that OpenVINO runs, so many of each by its own counters.

    These tell the mean over all inferences since a session was opened, so that each value is of a session of its own.
    """
    times_ms: dict[str, list[float]] = {}
    for _ in range(iterations):
        with _Profiled(file, device) as session:
            session.time(COUNTED)
            for operator in session.request.get_profiling_info():
                times_ms.setdefault(operator.node_name, []).append(operator.real_time.total_seconds() * 1e3)
    # What was fused into another or folded away takes nothing in any of them.
    return {operator: times for operator, times in times_ms.items() if any(times)}


def _engine() -> ModuleType:
    return without_telemetry("openvino", sender="openvino_telemetry")


def _port(port: Any) -> Port:
    shape = port.get_partial_shape()
    return (
        port.get_element_type().to_string(),
        [size.get_length() if size.is_static else "?" for size in shape] if shape.rank.is_static else ["?"],
    )


def _reason(message: str) -> str:
    """The last line of an OpenVINO error that says what is wrong."""
    lines = [line.strip(" -") for line in message.splitlines() if line.strip()]
    said = [line for line in lines if not line.startswith(_WHERE)]
    return (said or lines or ["no reason given"])[-1]
