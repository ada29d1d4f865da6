"""A simulated ``trtexec`` of one TensorRT: it takes exactly that version's options and writes in its formats.

What it computes, onnxruntime computes. What it times is made up, from the size of the engine and a fixed seed.
"""

from __future__ import annotations

import json
import os
import random
import site
import statistics
import sys
import time
from pathlib import Path

BOARD = Path(os.environ["BOARD"])
VERSION = (BOARD / "version").read_text().strip()
FAULT = (BOARD / "fault").read_text() if (BOARD / "fault").exists() else ""
OPTIONS = json.loads(Path(__file__).with_name("options.json").read_text())[VERSION].split()
MAJOR, MINOR, PATCH = map(int, VERSION.split("."))

NO_GRAPH = (
    "The built TensorRT engine contains operations that are not permitted under CUDA graph capture mode.",
    "The specified --useCudaGraph flag has been ignored. "
    "The inference will be launched without using CUDA graph launch.",
)


class Failed(Exception):
    """The run failed, with the line that the library writes."""


def main() -> int:
    number = MAJOR * 10_000 + MINOR * 100 + PATCH if MAJOR >= 10 else MAJOR * 1000 + MINOR * 100 + PATCH
    build = " [b23]" if (MAJOR, MINOR) >= (10, 7) else ""
    frame = f"TensorRT.trtexec [TensorRT v{number}]{build} # trtexec {' '.join(sys.argv[1:])}"
    print(f"&&&& RUNNING {frame}")
    if "--help" in sys.argv[1:]:
        usage()
        return 0
    try:
        run(given(sys.argv[1:]))
    except Failed as error:
        print(f"[11/27/2026-10:00:00] [E] {error}", file=sys.stderr)
        print(f"&&&& FAILED {frame}")
        return 1
    print(f"&&&& PASSED {frame}")
    return 0


def usage() -> None:
    print("=== Model Options ===")
    for name in OPTIONS:
        print(f"  --{name:<28}what it does")


def given(words: list[str]) -> dict[str, str]:
    options = {}
    for word in words:
        name, _, value = word.removeprefix("--").partition("=")
        if name not in OPTIONS:
            usage()
            raise Failed(f"Unknown option: --{name} {value}")
        options[name] = value
    return options


def say(text: str, severity: str = "I") -> None:
    print(f"[11/27/2026-10:00:00] [{severity}] {text}")


def run(options: dict[str, str]) -> None:
    if FAULT.startswith("says "):
        raise Failed(FAULT.removeprefix("says "))
    if FAULT == "hanging":
        time.sleep(3600)
    if "onnx" in options:
        engine = built(options)
        Path(options["saveEngine"]).write_bytes(engine)
        Path(options["timingCacheFile"]).write_bytes(b"simulated timing cache")
        say("Engine built in 1.5 sec.")
        if "skipInference" in options or "buildOnly" in options:
            return
    else:
        engine = Path(options["loadEngine"]).read_bytes()
    head, _, onnx_bytes = engine.partition(b"\n")
    try:
        card = json.loads(head)
    except ValueError:
        raise Failed("Error deserializing engine: magicTag does not match") from None
    if card["version"] != VERSION:
        raise Failed("1: [stdArchiveReader.cpp] Serialization assertion failed. Version tag does not match.")
    if b"DequantizeLinear" in onnx_bytes:
        require_int8()
    if "exportLayerInfo" in options:
        write(options["exportLayerInfo"], layer_info(onnx_bytes, card))
    if "exportOutput" in options:
        write(options["exportOutput"], outputs(onnx_bytes, options["loadInputs"]))
    measure(options, len(onnx_bytes))


def built(options: dict[str, str]) -> bytes:
    if FAULT == "failing":
        raise Failed("10: Could not find any implementation for node conv1 + relu.")
    content = Path(options["onnx"]).read_bytes()
    if b"DequantizeLinear" in content:
        require_int8()
        check_quantized(content, options)
    card = {
        "version": VERSION,
        "flags": sorted(set(options) & {"fp16", "int8"}),
        "detailed": options.get("profilingVerbosity") == "detailed",
        "dla": options.get("useDLACore", ""),
    }
    return json.dumps(card).encode() + b"\n" + content


def require_int8() -> None:
    if (BOARD / "no-int8").exists():
        raise Failed("Networks with QuantizeLayer/DequantizeLayer layers require hardware with Int8 support.")


def check_quantized(content: bytes, options: dict[str, str]) -> None:
    site.main()
    import onnx

    graph = onnx.load_model_from_string(content).graph
    stored = {tensor.name: tensor.data_type for tensor in graph.initializer}
    readers = [node for node in graph.node if node.op_type == "DequantizeLinear"]
    if MAJOR < 10 and any(stored.get(node.input[0]) == onnx.TensorProto.INT8 for node in readers):
        raise Failed("only activation types allowed as input to this layer")
    if MAJOR < 11 and "int8" not in options:
        raise Failed("Int8 precision has been set for a layer or layer output, but int8 is not configured")


def layer_info(onnx_bytes: bytes, card: dict[str, object]) -> str:
    if b"DequantizeLinear" not in onnx_bytes:
        return json.dumps({"Layers": ["all"], "Bindings": []})
    site.main()
    import onnx

    graph = onnx.load_model_from_string(onnx_bytes).graph
    weighted = [node for node in graph.node if node.op_type in ("Conv", "Gemm")]
    made_by = {output: node.op_type for node in graph.node for output in node.output}
    kinds = ["Int8" if made_by.get(node.input[1]) == "DequantizeLinear" else "Float" for node in weighted]
    if FAULT == "no-int8-kernel":
        kinds = ["Half"] * len(kinds)
    layers: list[object] = [
        {"Name": node.name, "LayerType": "CaskConvolution", "Weights": {"Type": kind, "Count": 1}}
        for node, kind in zip(weighted, kinds, strict=True)
    ]
    if not card["detailed"]:
        layers = [node.name for node in weighted]
    return json.dumps({"Layers": layers, "Bindings": [graph.input[0].name, graph.output[0].name]})


def outputs(onnx_bytes: bytes, loaded: str) -> str:
    site.main()
    import numpy as np
    import onnxruntime

    name, _, path = loaded.partition(":")
    session = onnxruntime.InferenceSession(onnx_bytes, providers=["CPUExecutionProvider"])
    taken, gives = session.get_inputs()[0], session.get_outputs()[0]
    if name.strip("'") != taken.name:
        raise Failed(f"Input {name} was not found in the engine")
    images = np.fromfile(path, np.float32).reshape(taken.shape)
    (values,) = session.run(None, {taken.name: images})
    # Six significant digits, as C++ streams write them.
    written = ", ".join(f"{value:.6g}" for value in values.ravel())
    dimensions = "x".join(map(str, values.shape))
    return f'[\n  {{ "name" : "{gives.name}"\n, "dimensions" : "{dimensions}"\n, "values" : [ {written} ]\n  }}\n]\n'


def measure(options: dict[str, str], size: int) -> None:
    duration_ms = 1000 * float(options.get("duration") or 3)
    warmup_ms, wanted = float(options.get("warmUp") or 200), int(options.get("iterations") or 10)
    draw = random.Random(size)
    mean_ms = (0.2 + size / 1e6) * (100 if FAULT == "slow" else 1)
    rows, now, measured = [], 0.0, 0
    while measured < wanted or now < duration_ms + warmup_ms:
        took = float(f"{mean_ms * draw.gauss(1, 0.01):.6g}")
        measured += now >= warmup_ms
        rows.append((now, took))
        now += took + 0.002
    if "useCudaGraph" in options:
        if FAULT == "no-graph":
            for line in NO_GRAPH:
                say(line, "W")
        elif MAJOR >= 10:
            say("Successfully captured CUDA graph for the current execution context")
    if "exportProfile" in options:
        median = "" if (MAJOR, MINOR) == (8, 2) else '"medianMs" : 0.1, '
        row = f'{{ "name" : "all", "timeMs" : 1, "averageMs" : 0.1, {median}"percentage" : 100 }}'
        write(options["exportProfile"], f'[\n  {{ "count" : 10 }}\n, {row}\n]\n')
        if "separateProfileRun" not in options:
            say("The e2e network timing is not reported since it is inaccurate", "W")
            return
    summarise([took for start, took in rows if start >= warmup_ms])
    if "exportTimes" in options:
        # Up to 8.4 the warm-up is exported too.
        shown = rows if (MAJOR, MINOR) < (8, 5) else [row for row in rows if row[0] >= warmup_ms]
        write(options["exportTimes"], "[\n  " + "\n, ".join(row_of(start, took) for start, took in shown) + "\n]\n")


def row_of(start: float, took: float) -> str:
    stamps = {"startEnqMs": start, "endEnqMs": start, "startH2dMs": start, "endH2dMs": start, "startComputeMs": start}
    stamps |= {"endComputeMs": start + took, "startD2hMs": start + took, "endD2hMs": start + took}
    stamps |= {"h2dMs": 0, "computeMs": took, "d2hMs": 0, "latencyMs": took}
    if (MAJOR, MINOR) == (8, 2):
        stamps["endToEndMs"] = took
    return "{ " + ", ".join(f'"{name}" : {value:.6g}' for name, value in stamps.items()) + " }"


def summarise(times_ms: list[float]) -> None:
    ordered = sorted(times_ms)
    percents = (99,) if (MAJOR, MINOR) < (8, 5) else (90, 95, 99)
    at = {percent: ordered[max(len(ordered) - 1 - int((1 - percent / 100) * len(ordered)), 0)] for percent in percents}
    shown = f"min = {ordered[0]:g} ms, max = {ordered[-1]:g} ms, mean = {statistics.mean(ordered):g} ms, "
    shown += f"median = {statistics.median(ordered):g} ms, "
    shown += ", ".join(f"percentile({percent}%) = {value:g} ms" for percent, value in at.items())
    say("=== Performance summary ===")
    say(f"Throughput: {1000 / statistics.mean(ordered):g} qps")
    say(f"Latency: {shown}")
    if (MAJOR, MINOR) == (8, 2):
        say(f"End-to-End Host Latency: {shown}")
    say(f"GPU Compute Time: {shown}")


def write(path: str, text: str) -> None:
    if FAULT == "cut-off":
        text = text[: len(text) * 2 // 3]
    Path(path).write_text(text)


if __name__ == "__main__":
    sys.exit(main())
