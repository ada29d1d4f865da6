"""The history of a case is what the commits of a real repository stored as its baseline."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqp import baselines, cli, documents
from hqp.records import Against, Case, Environment, Measurement, PairedLatency, Results
from hqp.reports import _drawn, _history, html

Make = Callable[..., Measurement]
MakeResults = Callable[..., Results]

CASE = "resnet18-hqp-cpu_openvino"
HEADERS = ("method", "device", "recorded", "commit", "environment", "median ms", "speed-up", "MB", "θ %", "top-1 %")


def git(folder: Path, *words: str) -> str:
    identity = ("-c", "user.name=x", "-c", "user.email=x@y", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(folder), *identity, *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def measured(make: Make, make_latency: Callable[..., PairedLatency], ms: float, **changes: object) -> Measurement:
    """A case that takes so many ms where FP32 takes 8."""
    return make(latency=make_latency([[8.0] * 3] * 20, [[ms] * 3] * 20), **changes)


@pytest.fixture
def repository(
    tmp_path: Path,
    make_measurement: Make,
    make_results: MakeResults,
    make_latency: Callable[..., PairedLatency],
    monkeypatch: pytest.MonkeyPatch,
) -> Results:
    """The run of a fourth state in a repository with three stored ones, the last of which is of a newer runtime."""
    monkeypatch.chdir(tmp_path)
    git(tmp_path, "init", "-q")
    newer = Environment({"openvino": "2026.1"})
    for number, (ms, changes) in enumerate([(4.0, {}), (2.0, {}), (2.5, {"environment": newer})]):
        one = measured(make_measurement, make_latency, ms, **changes)
        other = replace(one, case=Case("other", "hqp", "cpu_openvino"))
        baselines.update(Path("baselines"), make_results(one, other, date=f"2026-0{number + 1}-01 12:00 UTC"))
        git(tmp_path, "add", ".")
        git(tmp_path, "commit", "-q", "-m", f"state {number}")
    # What is in no commit is no history.
    unsaved = measured(make_measurement, make_latency, 1.0)
    baselines.update(Path("baselines"), make_results(unsaved))
    (path,) = Path("baselines").glob(f"*/{unsaved.environment.digest}/signs.json")
    against = (Against("cpu_openvino", str(path), "2026-02-01", None),)
    now = measured(make_measurement, make_latency, 1.6, environment=newer)
    return make_results(now, date="2026-04-01 12:00 UTC", against=against)


def test_each_commit_that_stored_a_baseline_is_a_state_of_the_case(repository: Results, tmp_path: Path) -> None:
    points = _history.read(repository).of(repository, "resnet18")
    old, new = Environment({"machine": "x86_64", "governor": "performance", "openvino": "2025.2"}), "2026.1"
    commits = git(tmp_path, "log", "--reverse", "--format=%H").split()
    assert [(point.commit, point.date[:7], point.median_ms) for point in points] == [
        (commits[0], "2026-01", 4.0),
        (commits[1], "2026-02", 2.0),
        (commits[2], "2026-03", 2.5),
        ("", "2026-04", 1.6),
    ]
    newer = Environment({"openvino": new}).digest
    assert [point.environment for point in points] == [old.digest, old.digest, newer, newer]
    assert [point.speedup.value for point in points if point.speedup] == pytest.approx([2.0, 4.0, 3.2, 5.0])
    assert {str(point.case) for point in points} == {CASE}


def test_the_page_has_a_table_and_a_figure_of_it(repository: Results, tmp_path: Path) -> None:
    section = _history.section(_history.read(repository), repository, "resnet18")
    first = git(tmp_path, "log", "--reverse", "--format=%H").split()[0]
    digest = Environment({"machine": "x86_64", "governor": "performance", "openvino": "2025.2"}).digest
    row = ("hqp", "cpu_openvino", "2026-01-01 12:00 UTC", first[:8], digest)
    numbers = ("4.000", "2.00x (2.00 to 2.00)", "8.00", "25.0", "98.95")
    assert section.headers == HEADERS
    assert section.rows[0] == (*row, *numbers)
    assert [one[3] for one in section.rows][-1] == "this run"
    page = html.render(repository)
    assert "<caption>resnet18: history</caption>" in page
    assert f">{first[:7]}<" in page, "the figure names the commits"
    assert "history of the cases:" not in page


@pytest.mark.parametrize("form", ["svg", "png", "csv", "json"])
def test_its_figure_and_its_numbers_are_files(repository: Results, tmp_path: Path, form: str) -> None:
    documents.write(tmp_path / "run.json", repository)
    assert cli.main(["plot", "run.json", "--format", form, "--out", "out"]) == 0
    file = tmp_path / "out" / f"resnet18-history.{form}"
    assert file.stat().st_size > 100
    if form == "json":
        rows = json.loads(file.read_text())
        assert [row["median_ms"] for row in rows] == [4.0, 2.0, 2.5, 1.6]
        assert rows == list(_drawn.history(repository, "resnet18"))
    if form == "csv":
        assert [line.split(",")[6] for line in file.read_text().splitlines()] == [
            "median_ms",
            "4.0",
            "2.0",
            "2.5",
            "1.6",
        ]


def test_a_state_of_another_schema_is_passed_over(repository: Results, tmp_path: Path) -> None:
    file = sorted((tmp_path / "baselines").glob("*/*/signs.json"))[0]
    file.write_text('{"schema_version": 1}')
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-q", "-m", "of a version to come")
    history = _history.read(repository)
    assert [point.date[:7] for point in history.points if str(point.case) == CASE][:3] == [
        "2026-01",
        "2026-02",
        "2026-03",
    ]
    told = _history.section(history, repository, "resnet18").lines
    assert told[-1] == "not shown: 1 stored states of another schema than this HQP reads"


def test_without_a_history_its_section_is_absent_and_says_why(
    tmp_path: Path, make_measurement: Make, make_results: MakeResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    results = make_results(make_measurement())
    assert _history.read(results).absent.startswith("there is no folder baselines; to record a baseline: hqp baseline")
    baselines.update(Path("baselines"), results)
    assert "not a git repository" in _history.read(results).absent
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "nothing")
    assert _history.read(results).absent == "no commit holds a baseline of these cases in baselines"
    page = html.render(results)
    assert "history of the cases: no commit holds a baseline of these cases in baselines" in page
    assert "resnet18: history" not in page


@pytest.mark.parametrize("path", ["/etc/a/b/signs.json", "../a/b/c/signs.json", "signs.json"])
def test_a_results_file_does_not_say_where_git_is_run(
    path: str, tmp_path: Path, make_results: MakeResults, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    results = make_results(against=(Against("cpu_openvino", path, "2026-01-01", None),))
    assert "there is no folder baselines" in _history.read(results).absent
