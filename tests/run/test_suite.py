"""A suite, end to end, in a user's own repository: real engines on a small network that learnt in a second."""

from __future__ import annotations

import json
import shutil
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest

SUITE = "suites/squares.py"
HQP = "squarenet-hqp-cpu_onnxruntime"
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


@pytest.fixture(scope="module")
def first_run(run: Any) -> Any:
    """The first run of the suite, with its JUnit report in ``junit.xml``."""
    return run("-m", "pytest", SUITE, "--junitxml", "junit.xml")


def test_each_gate_of_each_case_is_a_test_of_its_own(first_run: Any, project: Path) -> None:
    assert first_run.returncode == 0, first_run.stdout + first_run.stderr
    assert _outcomes(project / "junit.xml") == {
        f"{FP32}::latency_regression": "skipped",
        f"{HQP}::accuracy_drop": "passed",
        f"{HQP}::size": "passed",
        f"{HQP}::latency_regression": "skipped",
        "squares::coverage": "passed",
    }
    assert "hqp baseline update .hqp/results/squares.json" in first_run.stdout


def test_the_results_hold_every_case_with_its_raw_samples(first_run: Any, project: Path) -> None:
    results = json.loads((project / ".hqp/results/squares.json").read_text())
    measured = {"-".join(row["case"].values()): row for row in results["measurements"]}
    assert measured.keys() == {FP32, HQP, MAGNITUDE}
    assert results["question"] == "Coloured squares: HQP keeps the bound."
    sidecar = measured[HQP]["sidecar"]
    assert 0 < sidecar["sparsity"] < 1 and sidecar["kept_filters"] < sidecar["filters"]
    assert sidecar["parameters"] < sidecar["fp32_parameters"]
    assert measured[HQP]["fp32_accuracy"] == measured[FP32]["accuracy"]
    assert measured[FP32]["accuracy"]["total"] == 2048
    shown = {(row["gate"], row["case"]["method"]) for row in results["judgements"] if not row["bound"]}
    assert shown == {("accuracy_drop", "magnitude"), ("size", "magnitude")}


def test_a_second_run_makes_no_artefact_anew(first_run: Any, project: Path, run: Any) -> None:
    before = {path: path.stat().st_mtime_ns for path in (project / ".hqp/artifacts").rglob("model.onnx")}
    assert len(before) >= 3
    assert run("-m", "pytest", SUITE, "-k", "size").returncode == 0
    assert {path: path.stat().st_mtime_ns for path in (project / ".hqp/artifacts").rglob("model.onnx")} == before


def test_the_same_command_in_a_fresh_store_gives_the_same_bytes(first_run: Any, project: Path, run: Any) -> None:
    old = {path.name for path in (project / ".hqp/files").iterdir()}
    assert run("-m", "pytest", SUITE, "-k", "size", "--hqp-store", "fresh").returncode == 0
    assert {path.name for path in (project / "fresh/files").iterdir()} <= old


def test_a_failing_gate_fails_with_its_reason_alone(first_run: Any, project: Path, run: Any) -> None:
    text = (project / SUITE).read_text().replace("max_ratio=0.9", "max_ratio=0.01")
    (project / "suites/strict.py").write_text(text)
    done = run("-m", "pytest", "suites/strict.py", "-k", "size", "-x")
    assert done.returncode == 1
    assert "fail: " in done.stdout and "0.01" in done.stdout
    assert "Traceback" not in done.stdout and "hqp/run" not in done.stdout


@pytest.mark.parametrize(
    ("wrong", "right", "said"),
    [
        ('"magnitude"', '"magnitud"', "unknown method 'magnitud'; did you mean magnitude?"),
        ("max_pp=10.0", "max_points=10.0", "unknown limit of gate 'accuracy_drop' 'max_points'; did you mean max_pp?"),
        ('Gate("size"', 'Gate("sise"', "unknown gate 'sise'; did you mean size?"),
        ('methods="hqp", max_ratio', 'methods="hpq", max_ratio', "did you mean hqp?"),
        ("max_ratio=0.9", "max_ratio=float('nan')", "limit max_ratio of gate 'size' is nan; a finite number"),
        (", max_ratio=0.9", "", "gate 'size' has no max_ratio"),
        ('"squarenet"', '"squarenett"', "unknown model 'squarenett'; did you mean squarenet"),
        ('dataset="squares"', 'dataset="square"', "unknown dataset 'square'; did you mean squares?"),
        ("delta_max_pp=8.0", "delta_max_pp=-1", "delta_max_pp is -1; points of top-1 above 0"),
        ("suite = Suite", "suit = Suite", "declares no suite"),
    ],
)
def test_a_misspelt_suite_is_refused_before_anything_is_measured(
    project: Path, run: Any, wrong: str, right: str, said: str
) -> None:
    text = (project / SUITE).read_text()
    assert wrong in text
    (project / "suites/misspelt.py").write_text(text.replace(wrong, right))
    done = run("-m", "pytest", "suites/misspelt.py")
    assert done.returncode == 2
    assert said in done.stdout
    assert "Traceback" not in done.stdout and ".py:" not in done.stdout


def test_suites_refuse_to_run_side_by_side(project: Path, run: Any) -> None:
    (project / "parallel.py").write_text("def pytest_configure(config):\n    config.option.numprocesses = 2\n")
    done = run("-m", "pytest", SUITE, "-p", "parallel")
    assert done.returncode == 2
    assert "suites cannot run under xdist" in done.stdout


@pytest.fixture(scope="module")
def recorded(first_run: Any, project: Path, run: Any) -> Path:
    assert run("-m", "pytest", SUITE).returncode == 0
    done = run("-m", "hqp", "baseline", "update", ".hqp/results/squares.json")
    assert done.returncode == 0, done.stderr
    (file,) = (project / "baselines").rglob("squares.json")
    return file


def test_the_same_artefact_is_no_regression(recorded: Path, project: Path, run: Any) -> None:
    run("-m", "pytest", SUITE, "-k", "latency_regression and hqp", "--junitxml", "junit.xml")
    # On a machine that is busy with other work the verdict may be open; it is never a skip once a baseline stands.
    assert _outcomes(project / "junit.xml")[f"{HQP}::latency_regression"] in ("passed", "failure")
    results = json.loads((project / ".hqp/results/squares.json").read_text())
    (measured,) = results["measurements"]
    assert measured["baseline"]["reference_sha256"] == measured["sidecar"]["model_sha256"]


def test_a_case_that_was_not_run_fails_coverage(recorded: Path, project: Path, run: Any) -> None:
    text = (project / SUITE).read_text().replace('"fp32", "hqp", "magnitude"', '"fp32", "hqp"')
    other = project / "elsewhere" / "suites"
    other.mkdir(parents=True)
    (other / "squares.py").write_text(text)
    done = run("-m", "pytest", "elsewhere/suites/squares.py", "-k", "coverage or size")
    assert done.returncode == 1
    assert f"in the baseline but not measured: {FP32}, {MAGNITUDE}" in done.stdout
    shutil.rmtree(project / "elsewhere")


def test_a_suite_elsewhere_is_run_where_it_is_asked_for_by_name(project: Path, run: Any) -> None:
    place = project / "gates"
    place.mkdir()
    (place / "squares.py").write_text((project / SUITE).read_text())
    (place / "helper.py").write_text("suite = None\n")
    asked = run("-m", "pytest", "gates/squares.py", "--collect-only", "-q").stdout
    assert "gates/squares.py::squarenet-hqp-cpu_onnxruntime::size" in asked
    assert "no tests" in run("-m", "pytest", "gates", "gates/helper.py", "--collect-only", "-q").stdout
    shutil.rmtree(place)


def test_a_partial_run_replaces_no_whole_baseline(recorded: Path, run: Any) -> None:
    whole = recorded.read_bytes()
    assert run("-m", "pytest", SUITE, "-k", "size").returncode == 0
    done = run("-m", "hqp", "baseline", "update", ".hqp/results/squares.json")
    assert done.returncode == 2
    assert f"lacks {FP32}, {MAGNITUDE} of the baseline" in done.stderr
    assert recorded.read_bytes() == whole


def test_a_baseline_that_was_cut_off_is_refused(recorded: Path, run: Any) -> None:
    whole = recorded.read_text()
    recorded.write_text(whole[: len(whole) // 2])
    done = run("-m", "pytest", SUITE, "-k", "latency_regression and hqp")
    recorded.write_text(whole)
    assert done.returncode == 1
    assert "is damaged or cut off" in done.stdout and "Traceback" not in done.stdout


def test_a_baseline_of_another_environment_is_refused_with_the_keys_that_differ(recorded: Path, run: Any) -> None:
    whole = recorded.read_text()
    stored = json.loads(whole)
    stored["environment"]["facts"]["cpu"] = "another processor"
    recorded.write_text(json.dumps(stored))
    done = run("-m", "pytest", SUITE, "-k", "latency_regression and hqp")
    recorded.write_text(whole)
    assert done.returncode == 1
    assert "another processor" in done.stdout and "Traceback" not in done.stdout


def test_on_github_the_report_stands_on_the_job_s_page(
    first_run: Any, project: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project / "page.md"))
    assert run("-m", "pytest", SUITE, "-k", "size").returncode == 0
    assert "| hqp" in (project / "page.md").read_text()
