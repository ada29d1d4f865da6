"""A suite, end to end, in a user's own repository: real engines on a small network that learnt in a second."""

from __future__ import annotations

import json
import signal
import xml.etree.ElementTree as ElementTree
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from hqp import documents
from hqp.records import Results
from hqp.store import sha256_of

SUITE = "suites/squares.py"
QUICK = "suites/quick.py"
COUNTED = "squarenet-counted-cpu_onnxruntime"
FP32 = "squarenet-fp32-cpu_onnxruntime"
MAGNITUDE = "squarenet-magnitude-cpu_onnxruntime"


def _outcomes(report: Path) -> dict[str, str]:
    """What became of each test: its own outcome, by ``case::gate``."""
    found = {}
    for case in ElementTree.parse(report).iter("testcase"):
        children = [child.tag for child in case if child.tag != "properties"]
        name = f"{case.get('classname', '').rpartition('.')[2]}::{case.get('name')}"
        found[name] = children[0] if children else "passed"
    return found


def _properties(report: Path, test: str) -> dict[str, str]:
    """What a test of the report recorded of what it judged, by name."""
    case, _, gate = test.partition("::")
    (found,) = (
        row for row in ElementTree.parse(report).iter("testcase")
        if row.get("name") == gate and str(row.get("classname")).endswith(case)
    )  # fmt: skip
    return {str(row.get("name")): str(row.get("value")) for row in found.iter("property")}


def without_time(suite: str) -> str:
    """The suite with no gate on time, so that a pair takes one process: for tests of all but times."""
    gate = '        Gate("latency_regression", methods=("fp32", "counted"), margin=1.0),\n'
    assert gate in suite and "rounds=10" in suite
    binds_fp32_too = '        Gate("accuracy_regression", methods="fp32", max_pp=5.0),\n'
    return suite.replace(gate, binds_fp32_too).replace("rounds=10", "rounds=2")


@pytest.fixture(scope="module")
def quick(project: Path) -> str:
    """The text of the suite without a gate on time, which stands in ``suites/quick.py``."""
    text = without_time((project / SUITE).read_text())
    (project / QUICK).write_text(text)
    return text


@pytest.fixture(scope="module")
def first_run(project: Path, run: Any) -> Any:
    """The first run of the suite, with its JUnit report in ``junit.xml``, beside a test that times something else."""
    (project / "test_own.py").write_text("def test_sum(benchmark):\n    assert benchmark(sum, [1, 2]) == 3\n")
    words = ("--benchmark-max-time=0.01", "--benchmark-json", "one.json")
    return run("-m", "pytest", SUITE, "test_own.py", *words, "--junitxml", "junit.xml")


def test_each_gate_of_each_case_is_a_test_of_its_own(first_run: Any, project: Path) -> None:
    assert first_run.returncode == 0, first_run.stdout + first_run.stderr
    assert _outcomes(project / "junit.xml") == {
        f"{FP32}::latency_regression": "skipped",
        f"{COUNTED}::accuracy_drop": "passed",
        f"{COUNTED}::size": "passed",
        f"{COUNTED}::latency_regression": "skipped",
        f"{COUNTED}::accuracy_regression": "skipped",
        "squares::coverage": "passed",
        "test_own::test_sum": "passed",
    }
    assert "hqp baseline update .hqp/results/squares.json" in first_run.stdout


def test_the_results_hold_every_case_with_its_raw_samples(first_run: Any, project: Path) -> None:
    results = json.loads((project / ".hqp/results/squares.json").read_text())
    measured = {"-".join(row["case"].values()): row for row in results["measurements"]}
    assert measured.keys() == {FP32, COUNTED, MAGNITUDE}
    assert results["question"] == "Coloured squares: HQP keeps the bound."
    sidecar = measured[COUNTED]["sidecar"]
    assert 0 < sidecar["filters"]["kept"] < sidecar["filters"]["total"]
    assert sidecar["file"]["parameters"] < sidecar["fp32_file"]["parameters"]
    assert measured[COUNTED]["fp32_accuracy"] == measured[FP32]["accuracy"]
    assert measured[FP32]["accuracy"]["total"] == 2048
    shown = {(row["gate"], row["case"]["method"]) for row in results["judgements"] if not row["bound"]}
    assert shown == {("accuracy_drop", "magnitude"), ("size", "magnitude")}


KILLED = """
import os, signal

def pytest_runtest_setup(item):
    if "-counted-" in item.nodeid:
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_what_a_killed_run_has_measured_is_written_and_the_next_run_goes_on(
    first_run: Any, project: Path, run: Any
) -> None:
    path, before = project / ".hqp/results/squares.json", project / ".hqp/results-before/squares.json"
    whole = path.read_bytes()
    (project / "killed.py").write_text(KILLED)
    assert run("-m", "pytest", SUITE, "-p", "killed").returncode == -signal.SIGKILL
    kept = documents.read(path, Results, fix="")
    assert ["-".join(asdict(measured.case).values()) for measured in kept.measurements] == [FP32]
    assert [(judged.gate, judged.verdict) for judged in kept.judgements if judged.bound] == [
        ("latency_regression", None)
    ]
    assert before.read_bytes() == whole
    done = run("-m", "pytest", SUITE, "-k", "size")
    assert done.returncode == 0, done.stdout + done.stderr
    # A run of one case takes the place of no whole run as the one before.
    assert before.read_bytes() == whole


@pytest.fixture(scope="module")
def second_run(first_run: Any, quick: str, project: Path, run: Any) -> set[Path]:
    """What it made anew, of a run of one gate on GitHub, whose samples go to ``two.json``."""
    before = {path: path.stat().st_mtime_ns for path in (project / ".hqp/artifacts").rglob("model.onnx")}
    assert len(before) >= 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_STEP_SUMMARY", str(project / "page.md"))
        words = ("--benchmark-autosave", "--benchmark-json", "two.json")
        assert run("-m", "pytest", QUICK, "-k", "size", *words).returncode == 0
    after = {path: path.stat().st_mtime_ns for path in (project / ".hqp/artifacts").rglob("model.onnx")}
    return {path for path in after if after[path] != before.get(path)}


def test_a_second_run_makes_no_artefact_anew(second_run: set[Path]) -> None:
    assert second_run == set()


def test_on_github_the_report_stands_on_the_job_s_page(second_run: set[Path], project: Path) -> None:
    assert "| counted" in (project / "page.md").read_text()


def test_pytest_benchmark_saves_each_sample_beside_its_own(first_run: Any, project: Path) -> None:
    properties = _properties(project / "junit.xml", f"{COUNTED}::size")
    if properties["blocks"] == "0":
        pytest.skip("this machine was too busy for one undisturbed block")
    saved = {row["fullname"]: row for row in json.loads((project / "one.json").read_text())["benchmarks"]}
    assert saved.keys() <= {"test_own.py::test_sum", *(f"{SUITE}::{case}" for case in (FP32, COUNTED, MAGNITUDE))}
    assert saved["test_own.py::test_sum"]["stats"]["rounds"] > 0
    row = saved[f"{SUITE}::{COUNTED}"]
    # What github-action-benchmark plots, what pytest-benchmark compares, and what says which file it was.
    assert row["stats"]["median"] == pytest.approx(float(properties["median_ms"]) / 1000)
    assert row["stats"]["rounds"] == len(row["stats"]["data"]) > 0 and row["stats"]["ops"] > 0
    assert row["extra_info"]["model_sha256"] == properties["model_sha256"]
    assert (row["group"], row["params"]["method"]) == ("squares", "counted")


def test_pytest_benchmark_compares_two_runs(second_run: set[Path], project: Path, run: Any) -> None:
    saved = [json.loads(file.read_text())["benchmarks"] for file in (project / "one.json", project / "two.json")]
    if not all(any(row["fullname"].endswith(COUNTED) for row in rows) for rows in saved):
        pytest.skip("this machine was too busy for one undisturbed block")
    # As if it had been the same suite, since those of another are no rows of one table.
    (project / "again.json").write_text((project / "two.json").read_text().replace("quick", "squares"))
    done = run("-m", "pytest_benchmark", "compare", "one.json", "again.json", "--csv=both.csv")
    assert done.returncode == 0, done.stderr
    assert "benchmark 'squares': " in done.stdout
    compared = [line.split(",")[0] for line in (project / "both.csv").read_text().splitlines() if COUNTED in line]
    assert compared == [f"{SUITE}::{COUNTED}"] * 2


def test_the_same_command_in_a_fresh_store_gives_the_same_bytes(
    first_run: Any, quick: str, project: Path, run: Any
) -> None:
    old = {path.name for path in (project / ".hqp/files").iterdir()}
    assert run("-m", "pytest", QUICK, "-k", "size", "--hqp-store", "fresh").returncode == 0
    assert {path.name for path in (project / "fresh/files").iterdir()} <= old


def test_a_failing_gate_fails_with_its_reason_alone(first_run: Any, quick: str, project: Path, run: Any) -> None:
    (project / "suites/strict.py").write_text(quick.replace("max_ratio=0.9", "max_ratio=0.01"))
    done = run("-m", "pytest", "suites/strict.py", "-k", "size", "-x")
    assert done.returncode == 1
    assert "fail: " in done.stdout and "0.01" in done.stdout
    assert "Traceback" not in done.stdout and "hqp/run" not in done.stdout


def test_a_misspelt_suite_is_refused_before_anything_is_measured(project: Path, run: Any) -> None:
    text = (project / SUITE).read_text().replace('"magnitude"', '"magnitud"')
    (project / "suites/misspelt.py").write_text(text)
    done = run("-m", "pytest", "suites/misspelt.py")
    (project / "suites/misspelt.py").unlink()
    assert done.returncode == 2
    assert "unknown method 'magnitud'; did you mean magnitude?" in done.stdout
    assert "Traceback" not in done.stdout and ".py:" not in done.stdout


AGAIN = """
from _pytest.runner import runtestprotocol

def pytest_runtest_protocol(item, nextitem):
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for attempt in range(3):
        reports = runtestprotocol(item, nextitem=nextitem, log=False)
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
"""


def test_a_gate_that_is_judged_again_counts_once(first_run: Any, quick: str, project: Path, run: Any) -> None:
    (project / "again.py").write_text(AGAIN)
    done = run("-m", "pytest", QUICK, "-p", "again", "-k", "size or accuracy_drop", "--junitxml", "junit.xml")
    assert done.returncode == 0, done.stdout
    results = json.loads((project / ".hqp/results/quick.json").read_text())
    bound = [row["gate"] for row in results["judgements"] if row["bound"]]
    assert bound == ["accuracy_drop", "size"]
    assert "gates: 2 passed, 0 failed" in done.stdout
    properties = ElementTree.parse(project / "junit.xml").iter("property")
    assert [one.get("value") for one in properties if one.get("name") == "outcome"] == ["pass", "pass"]


FULL = """
import errno
from hqp import documents

def full(path, record):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))

documents.write = full
"""


def test_a_run_whose_results_cannot_be_written_shows_its_table_and_fails(
    first_run: Any, quick: str, project: Path, run: Any
) -> None:
    """The disk fills up after the place was tried: the write of the results alone fails."""
    (project / "full.py").write_text(FULL)
    done = run("-m", "pytest", QUICK, "-p", "full", "-k", "size")
    assert done.returncode == 2
    path = project / ".hqp/results/quick.json"
    assert f"hqp: error: {path} was not written: No space left on device" in done.stdout
    assert "gates: 1 passed, 0 failed" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


@pytest.fixture(scope="module")
def recorded(first_run: Any, project: Path, run: Any) -> Path:
    """The baseline of two whole runs; nothing else runs this suite before it is recorded."""
    assert run("-m", "pytest", SUITE).returncode == 0
    done = run("-m", "hqp", "baseline", "update", ".hqp/results/squares.json")
    assert done.returncode == 0, done.stderr
    (file,) = (project / "baselines").rglob("squares.json")
    return file


def _facts(recorded: Path, change: Any) -> str:
    """What the baseline holds, after ``change`` was made to its file."""
    whole = recorded.read_text()
    stored = json.loads(whole)
    change(stored)
    recorded.write_text(json.dumps(stored))
    return whole


def test_the_artefacts_of_a_baseline_lie_beside_it_under_their_digests(recorded: Path, project: Path) -> None:
    stored = json.loads(recorded.read_text())
    digests = {entry["model_sha256"] for entry in stored["entries"]}
    kept = {path.name: sha256_of(path) for path in (project / "baselines/files").iterdir()}
    assert kept == {f"{digest}.onnx": digest for digest in digests}


def test_the_same_artefact_is_no_regression(recorded: Path, project: Path, run: Any) -> None:
    run("-m", "pytest", SUITE, "-k", "latency_regression and counted", "--junitxml", "junit.xml")
    # On a machine that is busy with other work the verdict may be open; it is never a skip once a baseline stands.
    assert _outcomes(project / "junit.xml")[f"{COUNTED}::latency_regression"] in ("passed", "failure")
    results = json.loads((project / ".hqp/results/squares.json").read_text())
    (measured,) = results["measurements"]
    assert measured["baseline"]["latency"]["reference_sha256"] == measured["sidecar"]["file"]["sha256"]
    assert measured["baseline"]["elsewhere"] == []
    assert [against["device"] for against in results["against"]] == ["cpu_onnxruntime"]


def test_a_case_that_was_not_run_fails_coverage(recorded: Path, project: Path, run: Any) -> None:
    whole = (project / SUITE).read_text()
    (project / SUITE).write_text(without_time(whole).replace('"fp32", "counted", "magnitude"', '"fp32", "counted"'))
    done = run("-m", "pytest", SUITE, "-k", "coverage or size")
    (project / SUITE).write_text(whole)
    assert done.returncode == 1
    assert f"1 of 2 planned cases were not measured: {FP32}; run all" in done.stdout
    assert f"in the baseline, and no cases of the suite: {MAGNITUDE}; where they are gone for good" in done.stdout


def test_a_partial_run_replaces_no_whole_baseline(recorded: Path, project: Path, run: Any) -> None:
    whole, suite = recorded.read_bytes(), (project / SUITE).read_text()
    (project / SUITE).write_text(without_time(suite))
    partial = run("-m", "pytest", SUITE, "-k", "size")
    (project / SUITE).write_text(suite)
    assert partial.returncode == 0
    done = run("-m", "hqp", "baseline", "update", ".hqp/results/squares.json")
    assert done.returncode == 2
    assert f"lacks {FP32}, {MAGNITUDE} of the baseline" in done.stderr
    assert recorded.read_bytes() == whole


def test_a_baseline_that_was_cut_off_fails_what_needs_it_alone(recorded: Path, project: Path, run: Any) -> None:
    whole = recorded.read_text()
    recorded.write_text(whole[: len(whole) // 2])
    done = run("-m", "pytest", SUITE, "-k", "counted", "--junitxml", "junit.xml")
    recorded.write_text(whole)
    assert done.returncode == 1
    assert "is damaged or cut off" in done.stdout and "Traceback" not in done.stdout
    assert _outcomes(project / "junit.xml") == {
        f"{COUNTED}::accuracy_drop": "passed",
        f"{COUNTED}::size": "passed",
        f"{COUNTED}::latency_regression": "failure",
        f"{COUNTED}::accuracy_regression": "failure",
    }


def test_a_baseline_of_another_environment_is_rerun_here_and_not_skipped(
    recorded: Path, project: Path, run: Any
) -> None:
    """Its folder renamed, and recorded on another processor: a changed environment hides no regression."""

    def elsewhere(stored: Any) -> None:
        stored["environment"]["facts"]["cpu"] = "another processor"

    whole = _facts(recorded, elsewhere)
    recorded.parent.rename(recorded.parent.with_name("renamed"))
    run("-m", "pytest", SUITE, "-k", "regression and counted", "--junitxml", "junit.xml")
    recorded.parent.with_name("renamed").rename(recorded.parent)
    recorded.write_text(whole)
    outcomes = _outcomes(project / "junit.xml")
    assert outcomes[f"{COUNTED}::latency_regression"] in ("passed", "failure")
    assert outcomes[f"{COUNTED}::accuracy_regression"] == "passed"
    (measured,) = json.loads((project / ".hqp/results/squares.json").read_text())["measurements"]
    assert measured["baseline"]["elsewhere"] == ["cpu"]
    assert measured["baseline"]["accuracy"] == measured["accuracy"]
    assert measured["baseline"]["latency"]["reference_sha256"] == measured["sidecar"]["file"]["sha256"]


def test_where_the_artefact_is_missing_only_its_gate_is_inconclusive(recorded: Path, project: Path, run: Any) -> None:
    def lost(stored: Any) -> None:
        for entry in stored["entries"]:
            entry["model_sha256"] = "0" * 64

    whole = _facts(recorded, lost)
    done = run("-m", "pytest", SUITE, "-k", "not coverage", "--junitxml", "junit.xml")
    recorded.write_text(whole)
    assert _outcomes(project / "junit.xml") == {
        f"{FP32}::latency_regression": "failure",
        f"{COUNTED}::accuracy_drop": "passed",
        f"{COUNTED}::size": "passed",
        f"{COUNTED}::latency_regression": "failure",
        f"{COUNTED}::accuracy_regression": "passed",
    }
    place = f"{project}/baselines/files/{'0' * 64}.onnx"
    assert f"inconclusive: artefact missing: there is no {place}; try: git checkout -- {place}" in done.stdout
    results = json.loads((project / ".hqp/results/squares.json").read_text())
    assert len(results["measurements"]) == 2
