"""Two environments beside each other: what is timed where, what is refused, and how the verdict reads."""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from hqp.errors import HqpError
from hqp.records import Block, Estimate
from hqp.run import environments
from hqp.run.worker import Pair, Worker

DEVICE = "cpu_onnxruntime"


class Scripted:
    """A worker that tells what it was asked for, and times of its own."""

    def __init__(self, name: str, asked: list[str], times: Block | str) -> None:
        self.name, self.asked, self.times = name, asked, times

    def block(self, reference_first: bool, /) -> Block | str:
        self.asked.append(self.name)
        return self.times


def test_the_other_environment_is_the_reference_and_turns_are_taken() -> None:
    asked: list[str] = []
    old = Scripted("old", asked, Block((1.0,), (2.0,)))
    new = Scripted("new", asked, Block((3.0,), (4.0,), state={"mhz": 5.0}))
    both = environments.Beside(old, new)  # type: ignore[arg-type]
    assert both.block(True) == both.block(False) == Block((2.0,), (4.0,), state={"mhz": 5.0})
    assert asked == ["old", "new", "new", "old"]
    new.times = "busy"
    assert both.block(True) == "busy"


def test_a_file_is_timed_in_real_processes_of_either_environment(tmp_path: Path) -> None:
    image = helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 4, 4))
    logits = helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 3))
    nodes = [helper.make_node("GlobalAveragePool", ["x"], ["a"]), helper.make_node("Flatten", ["a"], ["y"])]
    graph = helper.make_graph(nodes, "mean", [image], [logits])
    file = tmp_path / "a.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), file)
    pair = Pair(DEVICE, str(file), str(file), keeps_disturbed=True)
    with environments.Beside(Worker(pair, python=sys.executable), Worker(pair)) as both:
        timed = both.block(True)
    assert isinstance(timed, Block) and len(timed.reference_ms) > 1 and len(timed.candidate_ms) > 1


def test_what_is_no_environment_or_has_another_hqp_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"is no Python environment; a folder with bin/python; try: python -m venv"):
        environments.compare([], DEVICE, tmp_path, 0.05)
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.write_text("#!/bin/sh\necho 0.0.1 onnxruntime 1.0\n")
    python.chmod(0o755)
    with pytest.raises(HqpError, match=r"has HQP 0\.0\.1; .*, so that the runtime alone differs; try: .* hqp=="):
        environments.compare([], DEVICE, tmp_path, 0.05)
    assert environments.compare([], DEVICE, Path(sys.prefix), 0.05) == ()


@pytest.mark.parametrize(
    ("bounds", "outcome", "said"),
    [
        (
            (1.01, 0.99, 1.04),
            "pass",
            "1.010x (90% interval 0.990 to 1.040) the time in the other environment",
        ),
        ((1.10, 1.08, 1.12), "fail", "is above 1.050x"),
        ((1.04, 1.01, 1.07), "inconclusive", "may be above or within 1.050x"),
    ],
)
def test_the_verdict(bounds: tuple[float, float, float], outcome: str, said: str) -> None:
    found, reason = environments._verdict(Estimate(*bounds, confidence=0.9), 0.05, 0)
    assert found == outcome and said in reason
    assert environments._verdict(None, 0.05, 7)[0] == "inconclusive"
