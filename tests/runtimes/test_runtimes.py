"""Every runtime opens, runs, times and refuses alike; a new runtime file is picked up by itself."""

from __future__ import annotations

import gc
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from hqp import catalog, typings
from hqp.errors import HqpError
from hqp.measure import environment
from hqp.records import Device, Policy
from hqp.runtimes import Float32, LocalSession, Request, RuntimeSession
from hqp.transport import HERE

ONE = Device("onnxruntime", 1, ("fp32",), Policy(), "one thread of this machine")

FAULTS = ("missing", "text", "empty", "cut", "operator", "dynamic", "batch", "half", "vector", "map")


@dataclass(frozen=True)
class Engine:
    """A runtime that is installed here, and a session of it for one thread of this machine."""

    module: ModuleType
    device: Device

    def open(self, file: Path, *, streams: int = 1) -> LocalSession:
        session: LocalSession = self.module.Session(file, self.device, streams=streams)
        return session


@pytest.fixture(params=catalog.names("runtimes"))
def engine(request: pytest.FixtureRequest) -> Engine:
    module = catalog.find("runtimes", request.param)
    if not issubclass(module.Session, LocalSession):
        pytest.skip(f"{request.param} does not run in this process")
    if catalog.missing(module):
        pytest.skip(f"{request.param} is not installed")
    if hasattr(module, "prepare"):
        pytest.skip(f"{request.param} opens what it prepares on its device: see tests/gpu")
    try:
        module.version(HERE)
    except HqpError as error:
        pytest.skip(error.wrong)
    return Engine(module, replace(ONE, runtime=request.param))


def images(count: int, size: int = 6) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(2).standard_normal((count, 3, size, size), np.float32)


def test_importing_and_constructing_load_no_engine_and_read_no_file() -> None:
    program = (
        "import sys; from pathlib import Path; from hqp import catalog; from hqp.records import Device, Policy\n"
        "for name in catalog.names('runtimes'):\n"
        "    device = Device(name, 1, ('fp32',), Policy(), 'a device')\n"
        "    catalog.find('runtimes', name).Session(Path('no such file'), device)\n"
        "print(sorted({'torch', 'openvino', 'onnxruntime', 'tensorrt'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_openvino_is_imported_without_its_telemetry() -> None:
    program = (
        "import sys; from hqp.runtimes import openvino; from hqp.transport import HERE; openvino.version(HERE)\n"
        "print('openvino' in sys.modules, [name for name in sys.modules if name.startswith('openvino_telemetry')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True []\n"


def test_version_starts_with_that_of_the_installed_package(engine: Engine) -> None:
    from importlib.metadata import version

    assert engine.module.version(HERE).startswith(version(engine.module.requires[0]))


def test_outputs_are_those_of_the_onnx_reference_in_the_order_of_the_images(engine: Engine, classifier: Path) -> None:
    batch = images(7)
    evaluator = ReferenceEvaluator(onnx.load(classifier))
    expected = np.concatenate([evaluator.run(None, {"x": image[None]})[0] for image in batch])
    with engine.open(classifier) as session:
        assert session.input_shape == (1, 3, 6, 6)
        np.testing.assert_allclose(session.outputs(batch), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("streams", [2, 3])
def test_outputs_are_bit_identical_for_every_number_of_streams(engine: Engine, classifier: Path, streams: int) -> None:
    batch = images(64)
    with engine.open(classifier) as one, engine.open(classifier, streams=streams) as many:
        first, second = one.outputs(batch), many.outputs(batch)
    assert first.dtype == np.float32
    assert np.array_equal(first, second)


def last_bit(file: Path, precision: str = "fp32") -> Path:
    """A file that multiplies by 1 + 2^-12, whose last bit bfloat16 (8 bits) and float16 (11 bits) would drop."""
    from onnx import TensorProto, helper

    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 1, 1, 1))
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 1))
    weight = helper.make_tensor("w", TensorProto.FLOAT, (1, 1, 1, 1), [1 + 2.0**-12])
    nodes = [helper.make_node("Conv", ["x", "w"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "g", [x], [y], [weight])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    if precision != "fp32":
        model.metadata_props.add(key=typings.PRECISION_KEY, value=precision)
    onnx.save(model, file)
    return file


def test_fp32_is_not_silently_a_shorter_type(engine: Engine, tmp_path: Path) -> None:
    with engine.open(last_bit(tmp_path / "m.onnx")) as session:
        assert session.outputs(np.ones((1, 1, 1, 1), np.float32)).item() == 1 + 2.0**-12


@pytest.mark.skipif("bf16" not in environment.instructions(), reason="this processor has no BF16")
def test_openvino_computes_in_bf16_what_a_file_says_to(tmp_path: Path) -> None:
    device = replace(ONE, runtime="openvino")
    with catalog.find("runtimes", "openvino").Session(last_bit(tmp_path / "m.onnx", "bf16"), device) as session:
        assert session.outputs(np.ones((1, 1, 1, 1), np.float32)).item() == 1


def test_openvino_refuses_a_file_whose_precision_the_processor_lacks(tmp_path: Path) -> None:
    session = catalog.find("runtimes", "openvino").Session(last_bit(tmp_path / "m.onnx", "fp8"), ONE)
    with pytest.raises(HqpError, match="it computes in FP8, which this processor lacks"), session:
        pass


def test_a_quantised_activation_stays_quantised(engine: Engine, quantized: Path) -> None:
    """0.3 becomes 2 steps of 1/8, -0.3 becomes -2 steps, and 99 saturates at 127 steps."""
    image = np.stack([np.full((6, 6), value, np.float32) for value in (0.3, -0.3, 99)])[None]
    with engine.open(quantized) as session:
        assert session.outputs(image).tolist() == [[0.25, -0.25, 15.875]]


def test_no_images_give_no_logits(engine: Engine, classifier: Path) -> None:
    with engine.open(classifier, streams=2) as session:
        assert session.outputs(images(0)).shape == (0, 5)


def test_time_gives_that_many_positive_samples_and_leaves_the_collector_on(engine: Engine, classifier: Path) -> None:
    with engine.open(classifier) as session:
        samples = session.time(25)
        assert session.time(0) == []
    assert len(samples) == 25
    assert all(isinstance(sample, float) and 0 < sample < 10_000 for sample in samples)
    assert gc.isenabled()


def test_timing_changes_no_output(engine: Engine, classifier: Path) -> None:
    with engine.open(classifier) as session:
        before = session.outputs(images(3))
        session.time(2)
        assert np.array_equal(before, session.outputs(images(3)))


def test_a_session_works_only_while_it_is_open_and_can_be_opened_again(engine: Engine, classifier: Path) -> None:
    session = engine.open(classifier)
    with pytest.raises(HqpError, match="not open"):
        session.time(1)
    for _ in range(2):
        with session:
            assert len(session.time(1)) == 1
        with pytest.raises(HqpError, match="not open"):
            session.outputs(images(1))


def test_a_closed_session_keeps_nothing_of_the_engine(engine: Engine, classifier: Path) -> None:
    session = engine.open(classifier)
    untouched = dict(vars(session))
    with session:
        assert vars(session) != untouched
    assert {name: value for name, value in vars(session).items() if value} == untouched


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_that_cannot_be_run_is_one_line_and_leaves_nothing_open(
    engine: Engine, wrong: Any, fault: str, capfd: pytest.CaptureFixture[str]
) -> None:
    session = engine.open(wrong(fault))
    with pytest.raises(HqpError) as raised, session:
        pass
    assert fault in str(raised.value)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 300 + len(str(session.file))
    assert capfd.readouterr() == ("", "")
    with pytest.raises(HqpError, match="not open"):
        session.time(1)


def test_a_file_that_runs_makes_no_remarks(engine: Engine, wasteful: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with engine.open(wasteful) as session:
        assert session.outputs(images(1)).shape == (1, 3)
    assert capfd.readouterr() == ("", "")


def test_what_was_opened_is_closed_where_the_first_inference_fails(classifier: Path) -> None:
    log: list[str] = []

    class Failing(LocalSession):
        def _load(self) -> None:
            log.append("open")

        def _request(self) -> Request:
            raise HqpError("refused")

        def _unload(self) -> None:
            log.append("close")

    with pytest.raises(HqpError, match="refused"), Failing(classifier, ONE):
        pass
    assert log == ["open", "close"]


def test_the_reason_of_a_refusal_is_the_engines_own(engine: Engine, wrong: Any) -> None:
    with pytest.raises(HqpError, match="Unknown"), engine.open(wrong("operator")):
        pass
    with pytest.raises(HqpError, match=r"(n|\?)x3x4x4"), engine.open(wrong("dynamic")):
        pass


def test_images_of_another_size_are_refused(engine: Engine, classifier: Path) -> None:
    with engine.open(classifier) as session, pytest.raises(HqpError, match=r"takes \(3, 6, 6\)"):
        session.outputs(images(1, size=8))


@pytest.mark.parametrize(("threads", "streams"), [(0, 1), (1, 0)])
def test_counts_below_one_are_refused(engine: Engine, threads: int, streams: int) -> None:
    with pytest.raises(HqpError, match="at least 1"):
        engine.module.Session(Path("m.onnx"), replace(engine.device, threads=threads), streams=streams)


class SelfTiming(RuntimeSession):
    """A tool that runs elsewhere and times itself: it implements ``outputs`` and ``time``, and nothing else."""

    def outputs(self, images: Float32) -> Float32:
        return images.mean(axis=(2, 3))

    def time(self, iterations: int) -> list[float]:
        return [0.25] * iterations


def test_a_session_that_times_itself_implements_outputs_and_time_alone(classifier: Path) -> None:
    batch = images(3)
    with SelfTiming(classifier, ONE) as session:
        assert session.time(2) == [0.25, 0.25]
        assert np.array_equal(session.outputs(batch), batch.mean(axis=(2, 3)))
    with pytest.raises(HqpError, match="there is no file absent"), SelfTiming(Path("absent"), ONE):
        pass


def test_a_session_is_open_outputs_time_close_and_nothing_more() -> None:
    assert {name for name in dir(RuntimeSession) if not name.startswith("_")} == {"outputs", "time"}
    assert RuntimeSession.__abstractmethods__ == {"outputs", "time"}
    assert LocalSession.__abstractmethods__ == {"_load", "_request", "_unload"}
