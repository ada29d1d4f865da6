"""``hqp baseline``: what update keeps and refuses, and how a reviewer reads the difference."""

from __future__ import annotations

import errno
import hashlib
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqp import documents
from hqp.cli.baseline import readable
from hqp.errors import HqpError
from hqp.records import Accuracy, Case, Environment, Measurement, Metric, PairedLatency, Results, Sidecar
from hqp.run.agreement import disagreements
from hqp.run.baseline import changed_since, diff, update
from hqp.run.results import Keeper, before_path_of

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
    """The results of a run whose artefact is not kept yet, after another that agrees."""
    measurement = make_measurement(sidecar=make_sidecar(file__sha256=DIGEST))
    for minute in (58, 59):
        path = Keeper(tmp_path / "store").keep(make_results(measurement, date=f"2026-03-01 11:{minute} UTC"))
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


def test_one_run_is_no_baseline(tmp_path: Path, results: Path) -> None:
    before = before_path_of(tmp_path / "store", "signs")
    for missing in (before, tmp_path / "other.json"):
        before.unlink(missing_ok=True)
        with pytest.raises(HqpError) as refused:
            update(results, tmp_path / "root", None, tmp_path / "store", None if missing == before else missing)
        assert str(refused.value) == (
            f"one run is no baseline, and there is no second one at {missing}; two runs that agree; "
            "try: pytest suites/signs.py"
        )
    with pytest.raises(HqpError, match="do not agree: they are one run"):
        update(results, tmp_path / "root", None, tmp_path / "store", results)
    assert not (tmp_path / "root").exists()


def test_a_run_of_a_part_takes_the_place_of_no_whole_run_as_the_one_before(
    tmp_path: Path, make_measurement: Make, make_results: Callable[..., Results]
) -> None:
    one, other = make_measurement(), make_measurement(case=Case("resnet18", "q8", "cpu_openvino"))
    dates = {"first": (one, other), "part": (one,), "again": (one,), "whole": (one, other), "last": (one, other)}
    before = []
    for date, measured in dates.items():
        Keeper(tmp_path).keep(make_results(*measured, date=date))
        kept = before_path_of(tmp_path, "signs")
        before.append(documents.read(kept, Results, fix="").date if kept.is_file() else None)
    assert before == [None, "first", "first", "first", "whole"]


def test_a_run_that_writes_as_it_goes_is_one_run(
    tmp_path: Path, make_measurement: Make, make_results: Callable[..., Results], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = make_measurement(), make_measurement(case=Case("resnet18", "q8", "cpu_openvino"))
    Keeper(tmp_path).keep(make_results(one, other, date="first"))
    second = Keeper(tmp_path)
    write = documents.write

    def full(path: Path, record: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(documents, "write", full)
    with pytest.raises(OSError, match="No space"):
        second.keep(make_results(one, date="second, one case"))
    # Where there is room again, the rest of the run is written as if nothing had been.
    monkeypatch.setattr(documents, "write", write)
    for measured in ((one,), (one, other), (one, other)):
        path = second.keep(make_results(*measured, date=f"second, {len(measured)}"))
        kept = (documents.read(file, Results, fix="").date for file in (before_path_of(tmp_path, "signs"), path))
        assert tuple(kept) == ("first", f"second, {len(measured)}")


def test_runs_that_do_not_agree_say_in_what(
    make_measurement: Make, make_results: Callable[..., Results], make_latency: Callable[..., PairedLatency],
    make_hits: Callable[..., tuple[Accuracy, Accuracy]], make_sidecar: Callable[..., Sidecar],
) -> None:  # fmt: skip
    measured = make_measurement()
    slower = make_latency([[5.0]] * 10, [[2.2 + 0.001 * block] for block in range(10)])
    changed = {
        "is of two environments (governor)": replace(
            measured, environment=Environment({**measured.environment.facts, "governor": "powersave"})
        ),
        "has two artefacts": make_measurement(sidecar=make_sidecar(file__sha256="c" * 64)),
        "has other images right in each": replace(measured, accuracy=make_hits(201, 100)[1]),
        "is 2.49 to 2.51 and 2.27 to 2.27 times as fast as its reference": replace(measured, latency=slower),
    }
    one = make_results(measured)
    for said, other in changed.items():
        found = disagreements(one, make_results(other, date="later"))
        assert found == (f"resnet18-hqp-cpu_openvino {said}",)
    assert disagreements(one, make_results(measured, date="later")) == ()
    untimed = replace(measured, latency=replace(measured.latency, blocks=()))
    assert disagreements(one, make_results(untimed, date="later")) == ()
    assert disagreements(one, make_results(date="later")) == ("resnet18-hqp-cpu_openvino is in one of them only",)


def test_a_reviewer_reads_what_changed_since_a_revision(tmp_path: Path, results: Path) -> None:
    documents.write_bytes(tmp_path / "store/files" / DIGEST, ONNX)
    root = tmp_path / "root"
    place = Path(update(results, root, None, tmp_path / "store")[0])
    git = ("git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@y")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run([*git, *words], check=True)
    assert changed_since("HEAD", root) == ()
    place.write_text(place.read_text().replace(DIGEST, "c" * 64))
    assert readable(changed_since("HEAD", root)).split() == [
        "resnet18-hqp-cpu_openvino", "artefact", DIGEST[:12], "->", "c" * 12,
    ]  # fmt: skip
    place.unlink()
    assert [(one.old, one.new) for one in changed_since("HEAD", root)] == [(DIGEST, None)]
    with pytest.raises(HqpError, match="'git' failed with exit code 128"):
        changed_since("nowhere", root)


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
