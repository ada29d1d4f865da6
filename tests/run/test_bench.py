"""What ``hqp bench`` keeps of a run that is cut short, or whose disk is full."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hqp import documents
from hqp.records import Measurement, Results
from hqp.run import bench
from hqp.run.context import Context
from hqp.store import Store

Measure = Callable[..., Measurement]


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make_measurement: Measure) -> Callable[..., Any]:
    """Measures two artefacts; what measuring the second one does is given, and nothing is timed."""

    def run(second: Callable[[], Measurement]) -> Any:
        made = [SimpleNamespace(name=name) for name in ("first", "second")]
        case = make_measurement().case
        monkeypatch.setattr(bench, "_case_of", lambda *_: case)
        monkeypatch.setattr(bench, "_fp32_of", lambda *_: None)
        monkeypatch.setattr(
            bench, "_measured", lambda _, __, one, ___: make_measurement() if one.name == "first" else second()
        )
        return bench._measured_all(Context(Store(tmp_path)), "cpu_openvino", made)  # type: ignore[arg-type]

    return run


def test_what_was_measured_before_a_run_was_stopped_is_written(tmp_path: Path, measured: Any) -> None:
    def stopped() -> Measurement:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measured(stopped)
    kept = documents.read(tmp_path / bench.KEPT, Results, fix="")
    assert [str(one.case) for one in kept.measurements] == ["resnet18-hqp-cpu_openvino"]


def test_a_full_disk_is_told_and_costs_no_measurement(
    tmp_path: Path, measured: Any, make_measurement: Measure, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def full(path: Path, _: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(documents, "write", full)
    benched = measured(make_measurement)
    assert len(benched.results.measurements) == 2
    assert f"{tmp_path / bench.KEPT} was not written: No space left on device" in capsys.readouterr().err
