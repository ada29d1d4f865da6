"""A file that TensorRT has parsed, and the engine that it builds of it, in the words of the TensorRT at hand.

What it understands is asked of its module, never concluded from a version. ``trt`` is that module: a board's own, or
TensorRT for RTX, whose parser and builder need no GPU.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any

from typing_extensions import Self

from hqp import onnx_rules, typings
from hqp.errors import HqpError

# What the builder says where the GPU has no kernel for a layer as the file wants it, and what then helps.
NO_KERNEL = "Could not find any implementation"
NO_INT8 = "hardware with Int8 support"


@dataclass(frozen=True)
class Refusal:
    """What TensorRT's parser says of a node that it does not take."""

    node: str
    operator: str
    reason: str

    def __str__(self) -> str:
        place = f"{self.operator} {self.node}: " if self.node else ""
        return f"{place}{self.reason}"


class Network:
    """A file as TensorRT parsed it, between entering and leaving.

    ``refusals`` say what the parser does not take; ``lines`` is what TensorRT logged so far.
    """

    def __init__(self, trt: ModuleType, file: Path) -> None:
        self.trt, self.file = trt, file
        self.refusals: tuple[Refusal, ...] = ()
        self.lines: list[str] = []
        self._held: list[Any] = []

    def __enter__(self) -> Self:
        trt = self.trt
        log = logger(trt, self.lines)
        builder = trt.Builder(log)
        network = builder.create_network(_network_flags(trt))
        parser = trt.OnnxParser(network, log)
        self._held = [log, builder, network, parser]
        if not parser.parse(self.file.read_bytes()):
            errors = [parser.get_error(index) for index in range(parser.num_errors)]
            self.refusals = tuple(_refusal(error) for error in errors)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The parser before the network before the builder before the log: in another order the process ends.
        while self._held:
            self._held.pop()

    def config(self, precisions: tuple[str, ...] = ()) -> Any:
        """How an engine is built: with these precisions beside FP32, where it is not the file that says so."""
        trt, builder = self.trt, self._held[1]
        config = builder.create_builder_config()
        # Else the inspector knows names alone, and no layer's precision.
        config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
        if not strongly_typed(trt):
            flags = {"fp16": trt.BuilderFlag.FP16, "int8": trt.BuilderFlag.INT8}
            for precision in precisions:
                config.set_flag(flags[precision])
        return config

    def build(self, config: Any) -> bytes:
        """The engine, serialised.

        Raises:
            HqpError: the parser refuses the file, or the builder finds no way to run it.
        """
        if self.refusals:
            more = f", and {len(self.refusals) - 1} more" if len(self.refusals) > 1 else ""
            raise HqpError(f"TensorRT does not take {self.file}: {self.refusals[0]}{more}", "a file made for TensorRT")
        _, builder, network, _ = self._held
        plan = builder.build_serialized_network(network, config)
        if plan is None:
            raise _unbuilt(self.file, self.lines)
        return bytes(plan)


def logger(trt: ModuleType, lines: list[str]) -> Any:
    """A logger that appends what TensorRT says to ``lines``, each with its severity before it."""

    # The base is the module's, which is not known before.
    class Log(trt.ILogger):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, message: str) -> None:
            lines.extend(f"{severity.name}: {line}" for line in message.splitlines())

    return Log()


def strongly_typed(trt: ModuleType) -> bool:
    """Whether the file alone says what runs in which precision: TensorRT 11 has no flags for it any more."""
    return not hasattr(trt.BuilderFlag, "FP16")


def reads_int8_weights(trt: ModuleType) -> bool:
    """Whether weights may be stored as INT8 behind a DequantizeLinear: TensorRT 8 takes them as FP32 behind Q and DQ.

    TensorRT 9, which takes both, still has the name by which this is told.
    """
    return not hasattr(trt.ICudaEngine, "num_bindings")


def precisions_of(file: Path) -> tuple[str, ...]:
    """The precisions that a file asks for beside FP32; INT8 leaves what is not quantised to FP16."""
    from onnx import TensorProto

    graph = onnx_rules.read(file).graph
    if any(node.op_type in typings.QUANTIZERS for node in graph.node):
        return ("fp16", "int8")
    halves = any(tensor.data_type == TensorProto.FLOAT16 for tensor in graph.initializer)
    return ("fp16",) if halves else ()


def typed_for(trt: ModuleType, file: Path, folder: Path) -> Path:
    """The file in the types that this TensorRT wants to read, derived from it without loss where it is another."""
    if "int8" not in precisions_of(file):
        return file
    derived = folder / "typed.onnx"
    if strongly_typed(trt):
        typings.typed(file, derived)
    elif not reads_int8_weights(trt):
        typings.float_weights(file, derived)
    else:
        return file
    return derived


def _network_flags(trt: ModuleType) -> int:
    """Of TensorRT up to 10 every batch is explicit once it is said; 11 knows nothing else, and types strongly."""
    creation = trt.NetworkDefinitionCreationFlag
    flag = creation.EXPLICIT_BATCH if hasattr(creation, "EXPLICIT_BATCH") else creation.STRONGLY_TYPED
    return 1 << int(flag)


def _refusal(error: Any) -> Refusal:
    # TensorRT 8 knows no more of a node than its number.
    node = error.node_name() if hasattr(error, "node_name") else f"number {error.node()}"
    operator = error.node_operator() if hasattr(error, "node_operator") else "node"
    return Refusal(str(node), str(operator), " ".join(str(error.desc()).split()))


def _unbuilt(file: Path, lines: list[str]) -> HqpError:
    """The error for a file that parses and does not build, by the last of what the builder said of it."""
    errors = [line.partition(": ")[2] for line in lines if line.startswith(("ERROR", "INTERNAL_ERROR"))]
    reason = next((line for line in reversed(errors) if NO_KERNEL in line or NO_INT8 in line), None)
    if reason is None:
        return HqpError(f"TensorRT builds no engine of {file}: {errors[-1] if errors else 'it gave no reason'}")
    if NO_INT8 in reason:
        right, fix = "a GPU with INT8, or an artefact in FP16", "hqp compress MODEL --method fp16"
    else:
        right, fix = "that layer in FP16, or another TensorRT", "hqp compress MODEL --method fp16"
    return HqpError(f"TensorRT builds no engine of {file}: {reason}", right, fix)
