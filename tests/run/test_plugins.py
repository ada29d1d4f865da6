"""The catalogue is asked once for each name of a run, and a runtime of this process is not taken for a board's."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from hqp import catalog
from hqp.errors import HqpError
from hqp.records import Device, Policy
from hqp.run import judge
from hqp.run.plugins import Plugins
from hqp.suite import Gate, Suite


def test_a_suite_asks_the_catalogue_once_for_each_name(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    real = catalog.load

    def load(kind: str, name: str) -> Any:
        asked[kind, name] += 1
        return real(kind, name)

    monkeypatch.setattr(catalog, "load", load)
    suite = Suite(
        models=("resnet18", "mobilenet_v3_large"),
        dataset="signs",
        devices=("cpu_onnxruntime", "cpu_openvino"),
        methods=("q8", "hqp", "magnitude"),
        gates=(Gate("size", max_ratio=0.3),),
    )
    resolved = judge.resolve(suite, Plugins())
    assert {kind for kind, _ in asked} == {"models", "datasets", "methods", "criteria", "devices", "runtimes"}
    assert set(asked.values()) == {1}
    # Each case, and FP32 beside it, which is no method of the suite.
    assert len(resolved.cases) == 2 * 2 * 4
    assert {case.method for case in resolved.cases} == {"fp32", "q8", "hqp", "magnitude"}


def test_a_runtime_of_this_process_does_not_run_on_another_host() -> None:
    board = Device("onnxruntime", 1, ("fp32",), Policy(), "a board", host="user@board")
    with pytest.raises(HqpError, match="runtime 'onnxruntime' runs here, and the device is on user@board"):
        Plugins().runtime(board)
