"""TensorRT through its command-line tool, here or on a board that is reached over SSH and needs no Python.

``trtexec`` starts anew for each run and times itself, with CUDA events on the GPU. The engine is built on the board,
and kept where HQP runs.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from hqp import documents, transport, typings
from hqp.errors import HqpError
from hqp.records import Device
from hqp.runtimes import Float32, RuntimeSession
from hqp.runtimes._trtexec import batches, exported, tool
from hqp.runtimes._trtexec.tool import BUILD_S, RUN_S, Folder, Tool
from hqp.transport import Host

requires: tuple[str, ...] = ()
opens = "onnx"
# What it runs, where that is not its own name.
engine = "tensorrt"

ENGINE, BATCH_ENGINE, PREPARED, LAYERS = "model.engine", "batch.engine", "engine.json", "layers.json"

# Images a run of the tool: so many that its start of some seconds is shared, few enough for a board's memory.
BATCH = 64
# trtexec's own default; clocks and caches are steady by then.
WARMUP_MS = 200
# Layers named in one line.
MOST_NAMED = 3
# Runs of the same engine that show whether a CUDA graph of it can be captured.
TRIED = 10


@dataclass(frozen=True)
class Prepared:
    """What is to be known of an engine beside its file."""

    input_name: str
    input_shape: tuple[int, ...]
    batch: int
    precision: str
    graph: bool


def version(host: Host) -> str:
    """The TensorRT of a host, e.g. ``8.5.2``."""
    return tool.tool_on(host).version


def prepare(file: Path, device: Device, folder: Path) -> Path:
    """Builds the engines of a file on the device: one for one image, which is timed, one for a batch, which is judged.

    Raises:
        HqpError: TensorRT refuses the file, or the board cannot be reached or has no room.
    """
    host = transport.host(device.host)
    trtexec, there = tool.tool_on(host), tool.folder_on(host)
    image, _ = batches.ports(file)
    precision = batches.precision_of(file)
    single, several = folder / "single.onnx", folder / "batch.onnx"
    _write_typed(file, single, trtexec, precision)
    batches.write(single, several, BATCH)
    try:
        _build(trtexec, there, single, folder / ENGINE, device, precision)
        _build(trtexec, there, several, folder / BATCH_ENGINE, device, precision)
    finally:
        single.unlink()
        several.unlink(missing_ok=True)
    graph = _describe(trtexec, there, folder, device, precision)
    written = Prepared(image.name, image.shape, BATCH, precision, graph)
    documents.write(folder / PREPARED, written)
    return folder / ENGINE


def operator_times(file: Path, device: Device, iterations: int) -> dict[str, list[float]]:
    """The mean ms of each layer of an engine by the tool's own profiler, which counts for a second on the board."""
    with Session(file, device) as session:
        return {layer.name: [layer.average_ms] for layer in session.layer_times()}


def _write_typed(file: Path, out: Path, trtexec: Tool, precision: str) -> None:
    """The file as this builder reads it; what was calibrated and judged stays as it is."""
    if precision != "int8":
        out.write_bytes(file.read_bytes())
    elif trtexec.options.strongly_typed:
        typings.typed(file, out)
    else:
        typings.float_weights(file, out)


def _build(trtexec: Tool, there: Folder, onnx: Path, engine: Path, device: Device, precision: str) -> None:
    remote = there.keep(onnx)
    made = f"{remote}.engine"
    # One cache for all engines of this process: most layers of a network's variants were timed before.
    cache = f"{there.path}/timing.cache"
    words = trtexec.options.build(remote, made, cache, precision, _core(device, precision))
    trtexec.run(words, BUILD_S)
    there.host.fetch(made, engine)
    there.remove(remote, made)


def _describe(trtexec: Tool, there: Folder, folder: Path, device: Device, precision: str) -> bool:
    """Keeps what the inspector says of the layers; whether a CUDA graph of the engine can be captured."""
    core = _core(device, precision)
    remote = there.keep(folder / ENGINE)
    profile, layers, times = (f"{there.path}/{name}" for name in ("profile.json", "layers.json", "times.json"))
    trtexec.run(trtexec.options.profile(remote, profile, layers, core), RUN_S)
    told = there.host.read(layers)
    say_float_layers(there.host, exported.layers(told), precision)
    (folder / LAYERS).write_text(told, encoding="utf-8")
    words = trtexec.options.time(remote, times, iterations=TRIED, warmup_ms=0, duration_s=0, dla_core=core)
    said = trtexec.run(words, RUN_S)
    if said.graph_captured is False and core is None:
        reason = "it holds operations that cannot be captured, so each inference is launched layer by layer"
        print(f"{there.host.name}: no CUDA graph of this engine: {reason}", file=sys.stderr)
    return said.graph_captured is not False


def say_float_layers(host: Host, layers: tuple[exported.Layer, ...], precision: str) -> None:
    """Tells which layers of an INT8 file the builder found no INT8 kernel for, or none that is faster."""
    weighted = [layer for layer in layers if layer.weights]
    floats = [layer.name for layer in weighted if layer.weights != "Int8"]
    if precision == "int8" and floats:
        shown = ", ".join(floats[:MOST_NAMED]) + (", …" if len(floats) > MOST_NAMED else "")
        count = f"{len(floats)} of {len(weighted)} weighted layers"
        reason = f"TensorRT runs {count} in float though the file has them in INT8: {shown}"
        print(f"{host.name}: {reason}", file=sys.stderr)


def _core(device: Device, precision: str) -> int | None:
    """The DLA core that runs a file; one has no FP32, so that the FP32 reference runs on the GPU."""
    return device.dla_core if precision != "fp32" else None


class Session(RuntimeSession):
    """An engine of ``prepare`` on the host of its device; every call is a run of the tool there."""

    _prepared: Prepared | None = None

    def _open(self) -> None:
        self._prepared = documents.read(self.file.with_name(PREPARED), Prepared, fix="the same command again")
        host = transport.host(self.device.host)
        self._tool, self._folder = tool.tool_on(host), tool.folder_on(host)
        self._engine = self._folder.keep(self.file)

    def _close(self) -> None:
        # The engine stays on the board until this process ends: the next block opens it again.
        self._prepared = None

    def time(self, iterations: int) -> list[float]:
        """The times, in ms, that the tool measured on the GPU, after its own warm-up; without transfers.

        Raises:
            HqpError: the run failed, or exported fewer times than were asked for.
        """
        times = f"{self._folder.path}/times.json"
        self._tool.run(self.timing_words(iterations, times), RUN_S)
        times_ms = exported.measured_ms(self._folder.host.read(times), WARMUP_MS)
        if len(times_ms) < iterations:
            wrong = f"trtexec on {self._folder.host.name} told {len(times_ms)} times of {iterations}"
            raise HqpError(wrong, "a run that is not cut off")
        return times_ms[:iterations]

    def timing_words(self, iterations: int, times: str) -> tuple[str, ...]:
        """The tool's words for that many inferences, whose times go into a file there."""
        prepared = self._opened()
        core = _core(self.device, prepared.precision)
        words = self._tool.options.time(
            self._engine, times, iterations=iterations, warmup_ms=WARMUP_MS, duration_s=0, dla_core=core
        )
        return words if prepared.graph else tuple(word for word in words if word != "--useCudaGraph")

    def layer_times(self) -> tuple[exported.LayerTime, ...]:
        """What each layer takes, in a run that does nothing else."""
        prepared = self._opened()
        profile, layers = f"{self._folder.path}/profile.json", f"{self._folder.path}/layers.json"
        core = _core(self.device, prepared.precision)
        self._tool.run(self._tool.options.profile(self._engine, profile, layers, core), RUN_S)
        return exported.layer_times(self._folder.host.read(profile))

    def outputs(self, images: Float32) -> Float32:
        """The logits that the board computes, a batch a run; the last batch is filled up with black images."""
        prepared = self._opened()
        if images.shape[1:] != prepared.input_shape[1:]:
            wrong = f"images of shape {images.shape[1:]} for {self.file}"
            raise HqpError(wrong, f"it takes {prepared.input_shape[1:]}")
        engine = self._folder.keep(self.file.with_name(BATCH_ENGINE))
        logits = [
            self._batch(engine, prepared, images[start : start + prepared.batch])
            for start in range(0, len(images), prepared.batch)
        ]
        return np.concatenate(logits)

    def _batch(self, engine: str, prepared: Prepared, images: Float32) -> Float32:
        padded = np.zeros((prepared.batch, *images.shape[1:]), np.float32)
        padded[: len(images)] = images
        output = f"{self._folder.path}/output.json"
        with TemporaryDirectory(prefix="hqp-") as local:
            raw = Path(local, "images.bin")
            raw.write_bytes(padded.tobytes())
            remote = self._folder.send(raw, "images.bin")
        core = _core(self.device, prepared.precision)
        words = self._tool.options.run(engine, [(prepared.input_name, remote)], output, core)
        self._tool.run(words, RUN_S)
        text = self._folder.host.read(output)
        return exported.outputs(text, prepared.batch)[: len(images)]

    def _opened(self) -> Prepared:
        if self._prepared is None:
            raise HqpError(f"the session of {self.file} is not open", "a session is used inside its with block")
        return self._prepared
