"""Every runtime opens, runs, times and refuses alike; a new runtime file is picked up by itself."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from hqp import catalog
from hqp.errors import HqpError
from hqp.runtimes import Request, RuntimeSession

FAULTS = ("missing", "text", "empty", "cut", "operator", "dynamic", "batch", "half", "vector", "map")


@pytest.fixture(params=catalog.names("runtimes"))
def runtime(request: pytest.FixtureRequest) -> ModuleType:
    module = catalog.find("runtimes", request.param)
    if catalog.missing(module):
        pytest.skip(f"{request.param} is not installed")
    return module


def images(count: int, size: int = 6) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(2).standard_normal((count, 3, size, size), np.float32)


def test_importing_and_constructing_load_no_engine_and_read_no_file() -> None:
    program = (
        "import sys; from pathlib import Path; from hqp import catalog\n"
        "for name in catalog.names('runtimes'):\n"
        "    catalog.find('runtimes', name).Session(Path('no such file'), threads=1)\n"
        "print(sorted({'torch', 'openvino', 'onnxruntime', 'tensorrt'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_openvino_is_imported_without_its_telemetry() -> None:
    program = (
        "import sys; from hqp.runtimes import openvino; openvino.version()\n"
        "print('openvino' in sys.modules, [name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"


def test_version_starts_with_that_of_the_installed_package(runtime: ModuleType) -> None:
    from importlib.metadata import version

    assert runtime.version().startswith(version(runtime.requires[0]))


def test_outputs_are_those_of_the_onnx_reference_in_the_order_of_the_images(
    runtime: ModuleType, classifier: Path
) -> None:
    batch = images(7)
    evaluator = ReferenceEvaluator(onnx.load(classifier))
    expected = np.concatenate([evaluator.run(None, {"x": image[None]})[0] for image in batch])
    with runtime.Session(classifier, threads=1) as session:
        assert session.input_shape == (1, 3, 6, 6)
        np.testing.assert_allclose(session.outputs(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("streams", [2, 3])
def test_outputs_are_bit_identical_for_every_number_of_streams(
    runtime: ModuleType, classifier: Path, streams: int
) -> None:
    batch = images(64)
    with runtime.Session(classifier, threads=1) as one, runtime.Session(classifier, threads=1, streams=streams) as many:
        first, second = one.outputs(batch), many.outputs(batch)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)


def test_fp32_is_not_silently_a_shorter_type(runtime: ModuleType, tmp_path: Path) -> None:
    """1 + 2^-12 keeps its last bit, which bfloat16 (8 bits) and float16 (11 bits) would drop."""
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 1, 1))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1))
    weight = helper.make_tensor("w", TensorProto.FLOAT, (1, 1, 1, 1), [1 + 2.0**-12])
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), tmp_path / "m.onnx")
    with runtime.Session(tmp_path / "m.onnx", threads=1) as session:
        assert session.outputs(np.ones((1, 1, 1, 1), np.float32)).item() == 1 + 2.0**-12


def test_a_quantised_activation_stays_quantised(runtime: ModuleType, quantized: Path) -> None:
    """0.3 becomes 2 steps of 1/8, -0.3 becomes -2 steps, and 99 saturates at 127 steps."""
    image = np.stack([np.full((6, 6), value, np.float32) for value in (0.3, -0.3, 99)])[None]
    with runtime.Session(quantized, threads=1) as session:
        assert session.outputs(image).tolist() == [[0.25, -0.25, 15.875]]


def test_no_images_give_no_logits(runtime: ModuleType, classifier: Path) -> None:
    with runtime.Session(classifier, threads=1, streams=2) as session:
        assert session.outputs(images(0)).shape == (0, 5)


def test_time_gives_that_many_positive_samples_and_leaves_the_collector_on(
    runtime: ModuleType, classifier: Path
) -> None:
    with runtime.Session(classifier, threads=1) as session:
        samples = session.time(25)
        assert session.time(0) == []
    assert len(samples) == 25
    assert all(isinstance(sample, float) and 0 < sample < 10_000 for sample in samples)
    assert gc.isenabled()


def test_timing_changes_no_output(runtime: ModuleType, classifier: Path) -> None:
    with runtime.Session(classifier, threads=1) as session:
        before = session.outputs(images(3))
        session.time(2)
        assert np.array_equal(before, session.outputs(images(3)))


def test_a_session_works_only_while_it_is_open_and_can_be_opened_again(runtime: ModuleType, classifier: Path) -> None:
    session: RuntimeSession = runtime.Session(classifier, threads=1)
    with pytest.raises(HqpError, match="not open"):
        session.time(1)
    for _ in range(2):
        with session:
            assert len(session.time(1)) == 1
        with pytest.raises(HqpError, match="not open"):
            session.outputs(images(1))


def test_a_closed_session_keeps_nothing_of_the_engine(runtime: ModuleType, classifier: Path) -> None:
    session = runtime.Session(classifier, threads=1)
    untouched = dict(vars(session))
    with session:
        assert set(vars(session).items()) != set(untouched.items())
    assert {name: value for name, value in vars(session).items() if value is not None} == untouched


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_run_is_one_line_and_leaves_nothing_open(
    runtime: ModuleType, wrong: Any, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    session = runtime.Session(wrong(fault), threads=1)
    with pytest.raises(HqpError) as raised, session:
        pass
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300 + len(str(session.model))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(HqpError, match="not open"):
        session.time(1)


def test_a_file_that_runs_makes_no_remarks(
    runtime: ModuleType, wasteful: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with runtime.Session(wasteful, threads=1) as session:
        assert session.outputs(images(1)).shape == (1, 3)
    assert capfd.readouterr() == ("", "")


def test_what_was_opened_is_closed_where_the_first_inference_fails(classifier: Path) -> None:
    log: list[str] = []

    class Failing(RuntimeSession):
        engine, float32 = "failing", "float32"

        def _open(self) -> None:
            log.append("open")

        def _request(self) -> Request:
            raise HqpError("refused")

        def _close(self) -> None:
            log.append("close")

    with pytest.raises(HqpError, match="refused"), Failing(classifier, threads=1):
        pass
    assert log == ["open", "close"]


def test_the_reason_of_a_refusal_is_the_engines_own(runtime: ModuleType, wrong: Any) -> None:
    with pytest.raises(HqpError, match="Unknown"), runtime.Session(wrong("operator"), threads=1):
        pass
    with pytest.raises(HqpError, match=r"(n|\?)x3x4x4"), runtime.Session(wrong("dynamic"), threads=1):
        pass


def test_images_of_another_size_are_refused(runtime: ModuleType, classifier: Path) -> None:
    with runtime.Session(classifier, threads=1) as session, pytest.raises(HqpError, match=r"takes \(3, 6, 6\)"):
        session.outputs(images(1, size=8))


@pytest.mark.parametrize(("threads", "streams"), [(0, 1), (1, 0)])
def test_counts_below_one_are_refused(runtime: ModuleType, threads: int, streams: int) -> None:
    with pytest.raises(HqpError, match="at least 1"):
        runtime.Session(Path("m.onnx"), threads=threads, streams=streams)
