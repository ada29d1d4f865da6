"""``hqp baseline``: what update keeps and refuses, and how a reviewer reads the difference."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqp import documents
from hqp.cli.baseline import readable
from hqp.errors import HqpError
from hqp.records import Accuracy, Measurement, Metric, Results, Sidecar
from hqp.run.baseline import diff, update

Make = Callable[..., Measurement]

ONNX = b"an exported network"
DIGEST = hashlib.sha256(ONNX).hexdigest()


@pytest.fixture
def results(
    tmp_path: Path,
    make_measurement: Make,
    make_sidecar: Callable[..., Sidecar],
    make_results: Callable[..., Results],
) -> Path:
    """The results of a run whose artefact is not kept yet."""
    path = tmp_path / "results.json"
    documents.write(path, make_results(make_measurement(sidecar=make_sidecar(file__sha256=DIGEST))))
    return path


def test_update_keeps_the_artefact_beside_the_baseline(tmp_path: Path, results: Path) -> None:
    documents.write_bytes(tmp_path / "store/files" / DIGEST, ONNX)
    for folder, place in ((None, tmp_path / "root/files"), (tmp_path / "lfs", tmp_path / "lfs")):
        written = update(results, tmp_path / "root", folder, tmp_path / "store")
        assert written[-1] == str(place / f"{DIGEST}.onnx")
        assert (place / f"{DIGEST}.onnx").read_bytes() == ONNX
    (place / f"{DIGEST}.onnx").write_bytes(b"damaged")
    update(results, tmp_path / "root", tmp_path / "lfs", tmp_path / "store")
    assert (place / f"{DIGEST}.onnx").read_bytes() == ONNX


def test_without_the_artefact_nothing_is_recorded(tmp_path: Path, results: Path) -> None:
    with pytest.raises(HqpError) as refused:
        update(results, tmp_path / "root", None, tmp_path / "store")
    assert str(refused.value) == (
        f"the artefact of resnet18-hqp-cpu_openvino ({DIGEST[:12]}) is not in {tmp_path / 'store'}; "
        "the store of the run, which keeps it; try: --store DIR, or run the suite again"
    )
    assert not (tmp_path / "root").exists()


def test_a_reviewer_reads_what_changed_case_by_case(
    tmp_path: Path,
    results: Path,
    make_hits: Callable[..., tuple[Accuracy, Accuracy]],
    make_sidecar: Callable[..., Sidecar],
) -> None:
    documents.write_bytes(tmp_path / "store/files" / DIGEST, ONNX)
    update(results, tmp_path / "root", None, tmp_path / "store")
    assert readable(diff(results, tmp_path / "root")) == "no difference"
    before = documents.read(results, Results, fix="")
    (measurement,) = before.measurements
    after = replace(
        measurement,
        sidecar=make_sidecar(file__sha256="c" * 64, file__size_bytes=7_000_000, filters__kept=2400),
        accuracy=make_hits(300, 0)[1],
        latency=replace(measurement.latency, blocks=()),
        metrics=(Metric("peak_memory", "bytes", (150_000_000,)), Metric("energy", "mJ", (2.5,))),
    )
    documents.write(results, replace(before, measurements=(after,)))
    table = readable(diff(results, tmp_path / "root")).splitlines()
    assert table[0] == "resnet18-hqp-cpu_openvino"
    assert [line.split() for line in table[1:-3]] == [
        ["artefact", DIGEST[:12], "->", "cccccccccccc"],
        ["bytes", "8,000,000", "->", "7,000,000", "-12.5%"],
        ["θ", "25.0%", "->", "50.0%", "+100.0%"],
        ["top-1", "hits", "19,790", "->", "19,690", "-0.5%"],
        ["top-5", "hits", "19,895", "->", "19,845", "-0.3%"],
    ]
    median, *metrics = (line.split() for line in table[-3:])
    assert median[0] == "median" and median[2:5] == ["ms", "->", "–"]
    assert metrics == [
        ["peak", "memory", "120", "MB", "->", "150", "MB", "+25.0%"],
        ["energy", "–", "->", "2.50", "mJ"],
    ]
