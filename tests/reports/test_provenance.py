"""What the artefacts cost is told once each, and what made them with every version."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hqp.records import Case, Cost
from hqp.reports import _provenance

Make = Callable[..., Any]


def test_one_artefact_on_two_devices_is_one_row(make_measurement: Make) -> None:
    here, there = (make_measurement(case=Case("resnet18", "hqp", device)) for device in ("cpu_openvino", "nano"))
    (row,) = _provenance.cost((here, there)).rows
    steps = "sensitivity 12.5, pruning 40.0"
    assert row == ("resnet18", "hqp", "cpu_openvino, nano", steps, "65,000", "13", "52.5", "–")


def test_training_is_estimated_beside_it(make_measurement: Make, make_sidecar: Make) -> None:
    qat = Cost("quantisation-aware training", 150_000, 5, 210.0)
    section = _provenance.cost((make_measurement(sidecar=make_sidecar(spent__qat=qat)),))
    assert section.rows[0][-1] == "25.0%"
    told = "150,000 images in 5 epochs, would take 210 s, estimated from FP32 training steps"
    assert section.lines[1] == f"QAT: quantisation-aware training of resnet18, {told}"


def test_two_versions_of_a_package_are_both_told(
    make_measurement: Make, make_sidecar: Make, make_results: Make
) -> None:
    sidecars = [make_sidecar(origin__versions={"torch": version}) for version in ("2.9.0", "2.10.0", "2.9.0")]
    results = make_results(*(make_measurement(sidecar=sidecar) for sidecar in sidecars))
    rows = dict(_provenance.origin(results).rows)
    assert rows["made with"] == "torch 2.9.0 and 2.10.0"
    assert rows["command"] == "pytest suites/signs.py" and rows["cpu"] == "a processor"
