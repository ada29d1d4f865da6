"""The process that times a pair: real engines on a tiny network, and what becomes of one that ends or hangs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hqp.errors import HqpError
from hqp.records import Block
from hqp.run.worker import Pair, Worker

DEVICE = "cpu_onnxruntime"


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A convolution and its mean, in a file."""
    weights = np.random.default_rng(0).normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 16, 16])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 8])],
        [numpy_helper.from_array(weights, "weights")],
    )
    file = tmp_path_factory.mktemp("network") / "tiny.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    return str(file)


@pytest.mark.parametrize("device", [DEVICE, "cpu_openvino"])
def test_a_worker_times_both_orders_and_tells_the_machine_s_state(network: str, device: str) -> None:
    with Worker(Pair(device, network, network, iterations=7, keeps_disturbed=True)) as worker:
        blocks = [worker.block(True), worker.block(False)]
    for timed in blocks:
        assert isinstance(timed, Block)
        assert min(len(timed.reference_ms), len(timed.candidate_ms)) >= 7
        assert min(sum(timed.reference_ms), sum(timed.candidate_ms)) >= 50
        assert {"others_share", "waited_share"} <= timed.state.keys()


def test_a_file_that_the_runtime_refuses_is_told_as_it_would_be_here(network: str, tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no network")
    with Worker(Pair(DEVICE, network, str(broken))) as worker:
        with pytest.raises(HqpError, match=r"onnxruntime does not run .*broken\.onnx"):
            worker.block(True)
        with pytest.raises(HqpError, match="does not run"):
            worker.block(False)


def test_a_process_that_ends_is_told_with_its_last_words(network: str) -> None:
    with (
        Worker(Pair("no_such_device" * 2, network, network)) as worker,
        pytest.raises(HqpError, match="unknown device"),
    ):
        worker.block(True)
    with Worker(Pair(DEVICE, network, network)) as worker:
        assert worker._process is not None
        worker._process.kill()
        worker._process.wait()
        with pytest.raises(
            HqpError, match=r"the process that timed .* ended: it wrote nothing, and its exit code is -9"
        ):
            worker.block(True)


def test_a_block_that_hangs_is_ended_at_its_limit(network: str) -> None:
    with (
        Worker(Pair(DEVICE, network, network), limit_s=0.05) as worker,
        pytest.raises(HqpError, match=r"took longer than 0.05 s; a runtime that does not hang"),
    ):
        worker.block(True)


def test_a_worker_is_gone_when_it_is_left(network: str) -> None:
    with Worker(Pair(DEVICE, network, network)) as worker:
        process = worker._process
        assert process is not None and process.poll() is None
    assert process.poll() is not None


def test_the_process_loads_no_torch_and_answers_on_a_pipe_of_its_own(network: str) -> None:
    """What an engine prints to standard output goes elsewhere."""
    script = (
        "import sys; from hqp.run import worker; from hqp.measure import block\n"
        "real = block.timed\n"
        "def noisy(*a, **k):\n"
        "    print('an engine talks', flush=True)\n"
        "    return real(*a, **k)\n"
        "block.timed = noisy\n"
        "worker.main()\n"
        "print('torch' in sys.modules, file=sys.stderr)\n"
    )
    pair = json.dumps({"device": DEVICE, "reference": network, "candidate": network, "keeps_disturbed": True})
    done = subprocess.run([sys.executable, "-c", script], input=f"{pair}\nreference\n", capture_output=True, text=True)
    assert len(json.loads(done.stdout)["reference_ms"]) >= 5
    assert done.stderr.splitlines() == ["an engine talks", "False"]
