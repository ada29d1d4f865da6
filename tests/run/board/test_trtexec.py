"""The runtime trtexec on a simulated board: built there, timed there, judged by the board's own outputs."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp import documents
from hqp.errors import HqpError
from hqp.records import Device, Policy
from hqp.runtimes import trtexec
from hqp.runtimes._trtexec import batches, tool
from hqp.runtimes._trtexec.options import Options
from hqp.transport import HERE, host

SIZE, CLASSES = 6, 5
OLD, NEW = "hqp-board-0123456789ab", "hqp-board-ba9876543210"
VERSIONS = ("8.2.1", "8.5.2", "8.6.2", "10.3.0", "10.16.2", "11.0.0")
DEVICE = Device("trtexec", 1, ("fp32", "fp16", "int8"), Policy("int8", symmetric=True), "a simulated board")


@pytest.fixture
def device(board) -> Device:
    """A device on the simulated board, whose answers are not those of the board of another test."""
    tool.tool_on.cache_clear()
    tool.folder_on.cache_clear()
    return replace(DEVICE, host=board.name)


@pytest.fixture
def local(board, monkeypatch: pytest.MonkeyPatch) -> Device:
    """A device on this machine, with the tool of the simulated board."""
    tool.tool_on.cache_clear()
    tool.folder_on.cache_clear()
    monkeypatch.setenv("TRTEXEC", str(board.root / "usr/src/tensorrt/bin/trtexec"))
    return DEVICE


@pytest.fixture(scope="module")
def built(standing_board, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The engine of ``classifier`` that TensorRT 8.5.2 built on the board."""
    folder = tmp_path_factory.mktemp("built")
    standing_board.clear()
    standing_board.install("8.5.2")
    tool.tool_on.cache_clear()
    tool.folder_on.cache_clear()
    return trtexec.prepare(write_classifier(folder), replace(DEVICE, host=standing_board.name), folder)


@pytest.fixture
def classifier(tmp_path: Path) -> Path:
    return write_classifier(tmp_path)


def write_classifier(folder: Path) -> Path:
    """Convolution, ReLU, mean, a Reshape to one row, linear; float32 weights of a fixed seed."""
    draw = np.random.default_rng(1)
    nodes = [
        helper.make_node("Conv", ["x", "kernel"], ["a"], "conv1", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["a"], ["b"]),
        helper.make_node("GlobalAveragePool", ["b"], ["c"]),
        helper.make_node("Reshape", ["c", "row"], ["d"]),
        helper.make_node("Gemm", ["d", "linear", "bias"], ["y"], "fc"),
    ]
    weights = {
        "kernel": draw.standard_normal((8, 3, 3, 3), np.float32),
        "linear": draw.standard_normal((8, CLASSES), np.float32),
        "bias": draw.standard_normal(CLASSES, np.float32),
        "row": np.array([1, 8]),
    }
    return _save(folder / "classifier.onnx", nodes, weights)


@pytest.fixture
def quantized(tmp_path: Path) -> Path:
    """A convolution in INT8 as HQP stores it: signed activations, INT8 weights with a scale for each output."""
    draw = np.random.default_rng(2)
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "step", "zero"], ["xq"]),
        helper.make_node("DequantizeLinear", ["xq", "step", "zero"], ["xd"]),
        helper.make_node("DequantizeLinear", ["kernel", "steps", "zeros"], ["k"], axis=0),
        helper.make_node("Conv", ["xd", "k"], ["a"], "conv1"),
        helper.make_node("GlobalAveragePool", ["a"], ["b"]),
        helper.make_node("Flatten", ["b"], ["y"]),
    ]
    weights = {
        "step": np.float32(0.03125),
        "zero": np.int8(0),
        "kernel": draw.integers(-127, 128, (CLASSES, 3, 3, 3)).astype(np.int8),
        # Those that HQP writes for TensorRT are ones that FP16 holds.
        "steps": np.linspace(0.01, 0.02, CLASSES).astype(np.float16).astype(np.float32),
        "zeros": np.zeros(CLASSES, np.int8),
    }
    return _save(tmp_path / "quantized.onnx", nodes, weights)


def _save(path: Path, nodes: list[onnx.NodeProto], weights: dict[str, object]) -> Path:
    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("x", (1, 3, SIZE, SIZE)), ("y", (1, CLASSES)))
    ]
    arrays = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "g", [ports[0]], [ports[1]], arrays)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), path)
    return path


def here(file: Path, images: np.ndarray) -> np.ndarray:
    """What onnxruntime gives for a file, image by image."""
    session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    return np.concatenate([session.run(None, {"x": image[None]})[0] for image in images])


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal((count, 3, SIZE, SIZE), np.float32)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_engine_is_built_and_timed_by_each_version(
    board, local: Device, classifier: Path, tmp_path: Path, version: str
) -> None:
    board.install(version)
    engine = trtexec.prepare(classifier, local, tmp_path)
    assert trtexec.version(HERE) == version
    assert engine == tmp_path / "model.engine"
    prepared = documents.read(tmp_path / "engine.json", trtexec.Prepared, fix="")
    assert prepared == trtexec.Prepared("x", (1, 3, SIZE, SIZE), 64, "fp32", True)
    with trtexec.Session(engine, local) as session:
        times_ms = session.time(7)
    # The simulated mean is 0.2 ms and the size of the engine; its spread is 1%.
    expected_ms = 0.2 + len(engine.read_bytes().partition(b"\n")[2]) / 1e6
    assert times_ms == pytest.approx([expected_ms] * 7, rel=0.05)
    assert len(set(times_ms)) == 7


@pytest.mark.parametrize("version", ["8.2.1", "10.3.0", "11.0.0"])
def test_int8_is_built_as_each_generation_reads_it(
    board, local: Device, quantized: Path, tmp_path: Path, version: str
) -> None:
    board.install(version)
    engine = trtexec.prepare(quantized, local, tmp_path)
    card = json.loads(engine.read_bytes().partition(b"\n")[0])
    assert card["flags"] == ([] if version == "11.0.0" else ["fp16", "int8"])
    layers = json.loads((tmp_path / "layers.json").read_text())["Layers"]
    assert [layer["Weights"]["Type"] for layer in layers] == ["Int8"]
    images = noise(3)
    with trtexec.Session(engine, local) as session:
        difference = np.abs(session.outputs(images) - here(quantized, images))
    # TensorRT 11 runs what is not INT8 as the file is typed, in FP16: an activation here and there is a step off.
    assert difference.max() < (0.05 if version == "11.0.0" else 1e-5)


def test_layers_have_their_times(board, device: Device, built: Path) -> None:
    board.install("8.5.2")
    assert trtexec.operator_times(built, device, 10) == {"all": [0.1]}
    assert "--separateProfileRun" in board.commands()[-2]


def test_a_boards_outputs_are_those_of_the_artefact(board, device: Device, built: Path) -> None:
    """In batches, the last of which is not full."""
    board.install("8.5.2")
    images = noise(70)
    with trtexec.Session(built, device) as session:
        logits = session.outputs(images)
    np.testing.assert_allclose(logits, here(built.with_name("classifier.onnx"), images), rtol=1e-4, atol=1e-5)
    assert sum("--loadInputs" in line for line in board.commands()) == 2


def test_nothing_is_left_on_the_board(board, device: Device, built: Path) -> None:
    board.install("8.5.2")
    with trtexec.Session(built, device) as session:
        session.time(3)
    (folder,) = board.left()
    assert sorted(path.suffix for path in (board.root / "tmp" / folder).iterdir()) == [".engine", ".json"]
    del session
    tool.folder_on.cache_clear()
    assert board.left() == []


def test_what_a_killed_run_left_is_swept_a_day_later(board, device: Device) -> None:
    for name, age_s in ((OLD, 2 * 86_400), (NEW, 3600), ("hqp-board-mine", 2 * 86_400)):
        board.write(f"/tmp/{name}/engine", "")
        folder = board.root / "tmp" / name
        os.utime(folder, (folder.stat().st_mtime - age_s,) * 2)
    folder = tool.folder_on(host(device.host))
    assert board.left() == sorted([NEW, "hqp-board-mine", Path(folder.path).name])


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("failing", r"^TensorRT on simulated-board has no kernel for conv1 \+ relu; that layer in float"),
        ("disk-full", r"^the disk of simulated-board is full: \w+\.onnx of .* MB does not fit; room under /tmp there$"),
    ],
)
def test_a_build_that_fails(board, device: Device, classifier: Path, tmp_path: Path, fault: str, said: str) -> None:
    board.install("8.5.2")
    tool.tool_on(host(device.host))
    board.fail(fault)
    with pytest.raises(HqpError, match=said):
        trtexec.prepare(classifier, device, tmp_path)


def test_layers_that_are_cut_off(board, local: Device, classifier: Path, tmp_path: Path) -> None:
    board.install("8.5.2")
    board.fail("cut-off")
    with pytest.raises(HqpError, match=r"^trtexec's --exportLayerInfo file cannot be read: it is cut off"):
        trtexec.prepare(classifier, local, tmp_path)


def test_int8_layers_that_run_in_float_are_said(
    board, local: Device, quantized: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board.install("8.5.2")
    board.fail("no-int8-kernel")
    trtexec.prepare(quantized, local, tmp_path)
    said = "here: TensorRT runs 1 of 1 weighted layers in float though the file has them in INT8: conv1\n"
    assert capsys.readouterr().err == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "10: [optimizer.cpp::computeCosts::3728] Error Code 10: Internal Error (Could not find any implementation "
            "for node conv1 + relu + maxpool.)",
            "TensorRT on here has no kernel for conv1 + relu + maxpool; that layer in float, or another TensorRT; "
            "try: hqp compress MODEL --method pruned",
        ),
        (
            "Networks with QuantizeLayer/DequantizeLayer layers require hardware with Int8 support.",
            "the GPU of here has no INT8; an FP16 artefact, made for this very device; "
            "try: hqp compress MODEL --device DEVICE",
        ),
        (
            "6: The engine plan file is generated on an incompatible device, expecting compute 7.2 got compute 8.7",
            "the engine was built for another GPU than that of here; an engine built there; "
            "try: the same command again",
        ),
        (
            "6: The engine plan file is not compatible with this version of TensorRT, expecting version 8.5.2.2",
            "the engine was built by another TensorRT than here has now; an engine of this one, which the next run "
            "builds; try: the same command again",
        ),
        (
            "2: [virtualMemoryBuffer.cpp::resizePhysical::145] Error Code 2: OutOfMemory (no further information)",
            "the memory of here is too small for this engine; a board on which nothing else runs, or a smaller network",
        ),
        (
            "CUDA initialization failure with error: 35",
            "no GPU can be used on here; a user in the group 'video', and NVIDIA's driver",
        ),
        (
            "Error opening file: Permission denied",
            "the user on here has no right to do that; a user in the group 'video'",
        ),
        (
            "Something new",
            "trtexec failed on here: Something new; what its log asks for; try: there, TRTEXEC --help",
        ),
    ],
)
def test_what_trtexec_says_is_told_with_the_way_out(board, local: Device, line: str, said: str) -> None:
    board.install("8.5.2")
    trtexec_here = tool.tool_on(HERE)
    board.fail(f"says {line}")
    with pytest.raises(HqpError) as caught:
        trtexec_here.run(("--loadEngine=none",), 60)
    assert str(caught.value).replace(trtexec_here.path, "TRTEXEC") == said


def test_a_gpu_without_int8(board, local: Device, quantized: Path, tmp_path: Path) -> None:
    board.install("8.2.1")
    board.write("/no-int8", "")
    with pytest.raises(HqpError, match="the GPU of here has no INT8; an FP16 artefact"):
        trtexec.prepare(quantized, local, tmp_path)


def test_faults_of_a_run(board, device: Device, built: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    board.install("8.5.2")
    with trtexec.Session(built, device) as session:
        board.fail("slow")
        assert min(session.time(3)) > 19
        board.fail("cut-off")
        with pytest.raises(HqpError, match="trtexec's --exportTimes file cannot be read: it is cut off or no JSON"):
            session.time(3)
        board.fail("hanging")
        monkeypatch.setattr(trtexec, "RUN_S", 0.2)
        with pytest.raises(HqpError, match=r"^'flock' took longer than 0.2 s on simulated-board"):
            session.time(3)
        board.fail("")
        monkeypatch.undo()
        assert len(session.time(3)) == 3
        with pytest.raises(HqpError, match=r"images of shape \(1, 6, 6\) for .*; it takes \(3, 6, 6\)"):
            session.outputs(np.zeros((2, 1, 6, 6), np.float32))


def test_a_graph_that_cannot_be_captured_is_said_once_and_never_asked_for(
    board, local: Device, classifier: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    board.install("10.3.0")
    board.fail("no-graph")
    engine = trtexec.prepare(classifier, local, tmp_path)
    assert capsys.readouterr().err.startswith("here: no CUDA graph of this engine: ")
    with trtexec.Session(engine, local) as session:
        assert len(session.time(3)) == 3
        assert "--useCudaGraph" not in session.timing_words(3, "times.json")


def test_an_engine_of_another_tensorrt(board, device: Device, built: Path) -> None:
    board.install("8.6.2")
    with (
        trtexec.Session(built, device) as session,
        pytest.raises(HqpError, match="the engine was built by another TensorRT than simulated-board has now"),
    ):
        session.time(3)


def test_a_board_without_tensorrt(device: Device) -> None:
    said = "there is no trtexec on simulated-board: .*; TensorRT's tools; try: sudo apt install libnvinfer-bin"
    with pytest.raises(HqpError, match=said):
        trtexec.version(host(device.host))


def test_a_network_that_is_written_for_one_image(classifier: Path, tmp_path: Path) -> None:
    model = onnx.load(classifier)
    one = numpy_helper.from_array(np.zeros((1, CLASSES), np.float32), "token")
    model.graph.initializer.append(one)
    model.graph.node[-1].output[0] = "z"
    model.graph.node.append(helper.make_node("Concat", ["z", "token"], ["w"], axis=1))
    model.graph.node.append(helper.make_node("Slice", ["w", "from", "to", "along"], ["y"]))
    for name, value in (("from", 0), ("to", CLASSES), ("along", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array([value]), name))
    onnx.save(model, tmp_path / "one.onnx")
    with pytest.raises(HqpError, match="is written for one image and takes no 64: "):
        batches.write(tmp_path / "one.onnx", tmp_path / "out.onnx", 64)


@pytest.mark.parametrize(
    ("version", "precision", "words"),
    [
        ("8.2.1", "int8", ("--workspace=512", "--buildOnly", "--profilingVerbosity=detailed", "--fp16", "--int8")),
        ("8.5.2", "fp16", ("--memPoolSize=workspace:512", "--buildOnly", "--profilingVerbosity=detailed", "--fp16")),
        ("8.6.2", "fp32", ("--memPoolSize=workspace:512", "--skipInference", "--profilingVerbosity=detailed")),
        (
            "10.16.2",
            "int8",
            ("--memPoolSize=workspace:512", "--skipInference", "--profilingVerbosity=detailed", "--fp16", "--int8"),
        ),
        ("11.0.0", "int8", ("--memPoolSize=workspace:512", "--skipInference", "--profilingVerbosity=detailed")),
    ],
)
def test_the_words_that_a_version_understands(version: str, precision: str, words: tuple[str, ...]) -> None:
    known = json.loads(Path(__file__).with_name("options.json").read_text())[version].split()
    options = Options(frozenset(f"--{name}" for name in known))
    built = options.build("a.onnx", "a.engine", "cache", precision)
    assert built == ("--onnx=a.onnx", "--saveEngine=a.engine", "--timingCacheFile=cache", *words)
    timed = options.time("a.engine", "t.json", iterations=5, warmup_ms=200, duration_s=0)
    asked = ("--noDataTransfers", "--useSpinWait", "--useCudaGraph") if version != "11.0.0" else ()
    assert timed[-len(asked) or len(timed) :] == asked
    lines = (built, timed, options.profile("a", "p", "l", 0), options.run("a", [("x", "f")], "o"))
    lines += (options.build("a", "b", "c", "fp16", 1), options.time("a", "t", iterations=1, warmup_ms=0, duration_s=0))
    assert {word.partition("=")[0] for line in lines for word in line} <= options.known


def test_a_dla_core_is_asked_for_and_captures_no_graph() -> None:
    known = json.loads(Path(__file__).with_name("options.json").read_text())["8.5.2"].split()
    options = Options(frozenset(f"--{name}" for name in known))
    assert options.build("a", "b", "c", "fp16", 1)[-2:] == ("--useDLACore=1", "--allowGPUFallback")
    timed = options.time("b", "t", iterations=5, warmup_ms=200, duration_s=0, dla_core=1)
    assert timed[-3:] == ("--noDataTransfers", "--useSpinWait", "--useDLACore=1")
