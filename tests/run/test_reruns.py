"""The baseline's artefact: which baseline it is of, where its file is taken from, and what is counted anew."""

from __future__ import annotations

import functools
import hashlib
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hqp import baselines
from hqp.errors import HqpError
from hqp.records import Case, Environment, Measurement, Results
from hqp.run import artefact_files, reruns
from hqp.run.context import Context
from hqp.run.measuring import Protocol
from hqp.run.reruns import Stored
from hqp.store import Store

Make = Callable[..., Measurement]
MakeResults = Callable[..., Results]

DEVICE = "cpu_onnxruntime"
CASE = Case("resnet18", "hqp", DEVICE)
OLD = b"the file that was recorded"
DIGEST = hashlib.sha256(OLD).hexdigest()
NEEDS = (reruns.ACCURACY,)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(Store(tmp_path / ".hqp"))


@pytest.fixture
def stored(tmp_path: Path) -> Stored:
    return Stored("signs", tmp_path / "baselines", str(tmp_path / "elsewhere"))


@pytest.fixture
def measured(context: Context, make_measurement: Make) -> Measurement:
    """A case measured here; the file of the baseline has another digest."""
    return make_measurement(case=CASE, environment=context.environment(DEVICE))


def record(stored: Stored, results: Results) -> None:
    baselines.update(stored.root, results)


def put(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def test_an_artefact_is_taken_by_its_digest_from_wherever_it_lies(context: Context, stored: Stored) -> None:
    def artefact() -> Path:
        return artefact_files.artefact(context.store, stored.files, DIGEST)

    place = Path(stored.files) / f"{DIGEST}.onnx"
    with pytest.raises(HqpError, match="there is no "):
        artefact()
    kept = put(context.store.root / "files" / DIGEST, OLD)
    assert artefact() == kept
    beside = put(place, OLD)
    assert artefact() == beside
    beside.write_bytes(b"version https://git-lfs.github.com/spec/v1")
    assert artefact() == kept
    kept.write_bytes(b"another")
    with pytest.raises(HqpError, match=r"is another file than its name says; try: git lfs pull, or git checkout --"):
        artefact()


class Quiet(SimpleHTTPRequestHandler):
    """Serves a folder, and tells nobody."""

    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address on this machine at which it is served."""
    folder = tmp_path / "release"
    folder.mkdir()
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_an_artefact_is_downloaded_from_an_address_once_and_by_its_digest_alone(
    context: Context, served: tuple[Path, str]
) -> None:
    folder, address = served
    file = put(folder / f"{DIGEST}.onnx", b"another")
    with pytest.raises(HqpError, match=f"{address}{DIGEST}.onnx is another file than its name says"):
        artefact_files.artefact(context.store, address, DIGEST)
    file.write_bytes(OLD)
    kept = artefact_files.artefact(context.store, address, DIGEST)
    assert (kept.read_bytes(), kept.name) == (OLD, DIGEST)
    file.unlink()
    assert artefact_files.artefact(context.store, address, DIGEST) == kept
    with pytest.raises(HqpError, match=r"0000\.onnx cannot be read \(HTTP Error 404: File not found\)"):
        artefact_files.artefact(context.store, address, "0" * 64)
    assert not list(context.store.root.glob(".download*"))


def supplied(context: Context, stored: Stored, measured: Measurement) -> Measurement:
    return reruns.supply(context, stored, NEEDS, measured, Path("model.onnx"), Protocol())


def test_counts_of_this_environment_on_these_images_need_no_file(
    context: Context, stored: Stored, measured: Measurement, make_results: MakeResults
) -> None:
    record(stored, make_results(measured))
    rerun = supplied(context, stored, measured).baseline
    assert rerun is not None
    assert (rerun.accuracy, rerun.elsewhere, rerun.latency) == (measured.accuracy, (), None)
    assert rerun.model_sha256 == measured.sidecar.file.sha256


@pytest.mark.parametrize(
    ("facts", "digest", "elsewhere"), [({"cpu": "another"}, "d" * 64, ("cpu",)), ({}, "e" * 64, ())]
)
def test_counts_of_another_environment_or_of_other_images_are_never_taken(
    context: Context, stored: Stored, measured: Measurement, make_results: MakeResults,
    facts: dict[str, str], digest: str, elsewhere: tuple[str, ...],
) -> None:  # fmt: skip
    there = replace(
        measured,
        environment=Environment({**measured.environment.facts, **facts}),
        accuracy=replace(measured.accuracy, split_digest=digest),
    )
    record(stored, make_results(there))
    rerun = supplied(context, stored, measured).baseline
    assert rerun is not None
    assert (rerun.accuracy, rerun.elsewhere) == (None, elsewhere)
    place = Path(stored.files) / f"{measured.sidecar.file.sha256}.onnx"
    assert rerun.missing == (
        f"there is no {place}; try: git checkout -- {place}, or git add it where the baseline was recorded"
    )
    put(place, b"a pointer")
    rerun = supplied(context, stored, measured).baseline
    assert rerun is not None
    assert rerun.missing == (
        f"{place} is another file than its name says; try: git lfs pull, or git checkout -- {place}"
    )


def test_without_a_baseline_of_the_case_nothing_is_supplied(
    context: Context, stored: Stored, measured: Measurement, make_results: MakeResults
) -> None:
    assert supplied(context, stored, measured) == measured
    record(stored, make_results(replace(measured, case=replace(CASE, method="q8"))))
    assert supplied(context, stored, measured) == measured


def test_cases_of_every_recorded_device_are_known_those_of_a_removed_one_too(
    context: Context, stored: Stored, measured: Measurement, make_results: MakeResults
) -> None:
    gone = replace(CASE, device="a_board_that_was_sold")
    record(stored, make_results(measured, replace(measured, case=gone)))
    assert stored.cases(context, (DEVICE,)) == (gone, CASE)


def test_the_commit_of_a_baseline_is_told_where_its_file_is_as_committed(tmp_path: Path) -> None:
    file = tmp_path / "baselines" / "signs.json"
    put(file, b"{}")
    assert reruns.commit_of(file) is None, "no repository"
    git = ("git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@y")
    for words in (("init", "-q"), ("add", "."), ("commit", "-q", "-m", "first")):
        assert reruns.commit_of(file) is None
        subprocess.run([*git, *words], check=True)
    first = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    assert reruns.commit_of(file) == first.stdout.strip()
    file.write_text("edited")
    assert reruns.commit_of(file) is None


def test_what_a_run_was_judged_against_is_told(
    context: Context, stored: Stored, measured: Measurement, make_results: MakeResults
) -> None:
    assert stored.against(context, DEVICE) is None
    record(stored, make_results(measured))
    against = stored.against(context, DEVICE)
    assert against is not None
    assert (against.device, against.date, against.commit) == (DEVICE, "2026-03-01 12:00 UTC", None)
    assert Path(against.path).is_file() and str(against).endswith("of 2026-03-01 12:00 UTC, not committed")
    assert str(replace(against, commit="abc1234")).endswith(", commit abc1234")
