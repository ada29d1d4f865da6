"""How suites live in pytest: what is collected, what is refused, and what other plug-ins do to their items.

Nothing here is measured: each suite is over the embedded ResNet-18, and only its coverage test ever runs.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from hqp import Gate, Model, Suite, baselines
from hqp.errors import HqpError
from hqp.records import Case, Measurement, Results
from hqp.run.context import Context
from hqp.run.reruns import Stored
from hqp.run.suite import SuiteRun
from hqp.store import Store

SUITE = '''
"""Is it small?"""

from hqp import Gate, Suite

suite = Suite(
    models=("resnet18",),
    dataset="signs",
    devices=("cpu_onnxruntime",),
    methods=("q8", "hqp"),
    gates=(Gate("size", max_ratio=0.3),),
)
'''
COLLECT = ("--collect-only", "-q")

# In a checkout without an installation, pytest has no entry point that names the plug-in.
INSTALLED = any(entry.value == "hqp.plugin" for entry in entry_points(group="pytest11"))

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with one suite, in which one stands."""
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    write(tmp_path / "suites/signs.py", SUITE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run(project: Path, capfd: pytest.CaptureFixture[str]) -> Run:
    """Runs pytest in this process, where everything is imported already: its exit code and what it printed."""

    def main(*words: str) -> tuple[int, str]:
        loaded = () if INSTALLED else ("-p", "hqp.plugin")
        code = pytest.main(["-p", "no:cacheprovider", *loaded, *words])
        done = capfd.readouterr()
        return int(code), done.out + done.err

    return main


def write(path: Path, text: str) -> Path:
    """A file, with the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def collected(output: str) -> list[str]:
    """The ids that ``--collect-only -q`` printed."""
    return [line for line in output.splitlines() if "::" in line and not line.startswith("ERROR")]


def test_a_suite_becomes_its_cases_and_gates(run: Run) -> None:
    code, output = run(*COLLECT)
    assert code == 0
    assert collected(output) == [
        "suites/signs.py::resnet18-q8-cpu_onnxruntime::size",
        "suites/signs.py::resnet18-hqp-cpu_onnxruntime::size",
        "suites/signs.py::coverage",
    ]


OTHERS = {
    "tests/suites/test_numbers.py": "import hqp\n\ndef test_one():\n    suite = hqp.Suite\n    assert suite\n",
    "tests/suites/conftest.py": "from hqp import Suite\n\nsuite = None\n",
    "tests/suites/helper.py": '"""\nsuite = Suite(\n"""\nimport hqp\nvalue = 3\n',
    "tests/suites/test_unit.py": "import unittest\nsuite = unittest.TestSuite()\n\ndef test_two():\n    pass\n",
}


def test_only_files_that_declare_a_suite_are_suites(run: Run, project: Path) -> None:
    for name, text in OTHERS.items():
        write(project / name, text)
    code, output = run("tests", *COLLECT)
    assert code == 0
    assert collected(output) == ["tests/suites/test_numbers.py::test_one", "tests/suites/test_unit.py::test_two"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (SUITE.replace("suite = Suite", "suit = Suite"), "declares no suite"),
        (SUITE.replace("gates=(", "gates=(("), "SyntaxError"),
        (SUITE.replace("\nsuite = Suite(", "\nsuite = dict("), "declares no suite"),
    ],
)
def test_a_suite_that_is_written_wrong_fails_and_does_not_vanish(run: Run, project: Path, text: str, said: str) -> None:
    write(project / "suites/signs.py", text)
    code, output = run("suites", *COLLECT)
    assert code == 2
    assert said in output


def test_a_suite_elsewhere_is_one_where_it_is_asked_for_by_name(run: Run, project: Path) -> None:
    write(project / "gates/signs.py", SUITE)
    assert collected(run("gates/signs.py", *COLLECT)[1])[-1] == "gates/signs.py::coverage"
    assert collected(run("gates", *COLLECT)[1]) == []


@pytest.mark.parametrize(
    ("name", "said"),
    [("suites/my suite-2.py", "suite name 'my suite-2' cannot name a file"), ("a b/suites/x.py", "suite name 'a b'")],
)
def test_a_name_that_cannot_name_a_baseline_is_refused_once(run: Run, project: Path, name: str, said: str) -> None:
    write(project / name, SUITE)
    code, output = run(name, *COLLECT)
    assert code == 2
    assert output.count(said) == 1
    assert "1 error" in output


def test_suites_of_one_file_name_are_told_apart_by_their_folders(project: Path, run: Run) -> None:
    from hqp.plugin import places

    class Config:
        rootpath = project

    names = {
        name: places.suite_name(Config(), project / name)  # type: ignore[arg-type]
        for name in ("suites/signs.py", "signs.py", "vision/suites/signs.py", "gates/signs.py")
    }
    assert names == {
        "suites/signs.py": "signs",
        "signs.py": "signs.py",
        "vision/suites/signs.py": "vision/suites/signs",
        "gates/signs.py": "gates/signs",
    }


# --- what other plug-ins do -----------------------------------------------------------------------------------------

SKIPS = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.skip(reason="not today"))
"""
# What pytest-forked sets, whether or not it is installed.
FORKED = """
def pytest_configure(config):
    config.option.forked = True
"""


def test_a_skip_marker_skips(run: Run, project: Path) -> None:
    write(project / "conftest.py", SKIPS)
    code, output = run("suites", "-rs")
    assert (code, "3 skipped" in output) == (0, True), output
    assert "not today" in output and "INTERNALERROR" not in output


def test_without_pytest_s_capture_items_run(run: Run) -> None:
    code, output = run("suites", "-p", "no:capture", "-k", "coverage", "--hqp-partial")
    assert (code, "1 passed" in output) == (0, True), output


def test_what_runs_items_in_children_is_refused(run: Run, project: Path) -> None:
    write(project / "conftest.py", FORKED)
    code, output = run("suites", *COLLECT)
    assert code == 2
    assert "suites cannot run under --forked: what a child measures is lost; try: pytest without --forked" in output


def test_under_xdist_measuring_does_not_start_and_says_why(project: Path) -> None:
    """The real one, of which another file's tests run all the same."""
    write(project / "suites/test_other.py", "def test_one():\n    pass\n")
    loaded = () if INSTALLED else ("-p", "hqp.plugin")
    command = [sys.executable, "-m", "pytest", *loaded, "-n", "1", "suites", "--continue-on-collection-errors"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "suites cannot run under xdist: cases side by side disturb each other; try: pytest -n 0" in done.stdout
    assert "1 passed, 1 error" in done.stdout
    assert not (project / ".hqp").exists()


# --- what is chosen, and what is missed -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        ("compressed(method='q8')", ["q8-cpu_onnxruntime::size"]),
        ("compressed(gate='coverage')", ["coverage"]),
        ("not compressed", []),
    ],
)
def test_a_marker_selects_by_what_a_gate_is_of(run: Run, chosen: str, names: list[str]) -> None:
    _, output = run(*COLLECT, "--strict-markers", "-m", chosen)
    assert [name.removeprefix("suites/signs.py::").removeprefix("resnet18-") for name in collected(output)] == names


def test_a_name_selects_what_bears_it_alone(run: Run) -> None:
    assert collected(run(*COLLECT, "-k", "hqp")[1]) == ["suites/signs.py::resnet18-hqp-cpu_onnxruntime::size"]


def test_planned_cases_that_were_deselected_are_missed_unless_somebody_said_so(run: Run, project: Path) -> None:
    code, output = run("suites", "-k", "coverage", "--junitxml", "junit.xml")
    assert code == 1
    assert (
        "2 of 2 planned cases were not measured: resnet18-q8-cpu_onnxruntime, resnet18-hqp-cpu_onnxruntime; run all, "
        "or pytest --hqp-partial where they are deselected on purpose" in output
    )
    assert '<property name="planned" value="2"' in (project / "junit.xml").read_text()
    write(project / "pytest.ini", "[pytest]\nhqp_partial = true\n")
    code, output = run("suites", "-k", "coverage")
    assert (code, "1 passed" in output) == (0, True), output


# --- where things are -----------------------------------------------------------------------------------------------


def test_results_are_written_where_they_can_be_or_nothing_is_measured(run: Run, project: Path) -> None:
    write(project / "taken", "a file and no folder")
    code, output = run("suites", "--hqp-store", "taken/store", "-k", "coverage")
    assert code == 2
    place = project / "taken/store/results/signs.json"
    assert f"{place} cannot be written (Not a directory); a place that can; try: --hqp-store DIR" in output
    assert "FAILED" not in output and not list(project.rglob("*.onnx"))


def test_collecting_writes_nothing(run: Run, project: Path) -> None:
    run(*COLLECT)
    written = {path.name for path in project.rglob("*") if "__pycache__" not in path.parts}
    assert written - {".benchmarks"} == {"pytest.ini", "suites", "signs.py"}


MINE = SUITE.replace("from hqp import Gate, Suite", "from hqp import Gate, Model, Suite").replace(
    '"resnet18"', 'Model("nets/mine.py:build", weights="mine.pt", name="mine")'
)
NET = "input_size = 32\n\ndef build(num_classes):\n    raise AssertionError('not built')\n"


def test_paths_of_a_suite_start_at_the_rootdir_wherever_one_is(
    run: Run, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(project / "suites/mine.py", MINE)
    write(project / "nets/mine.py", NET)
    write(project / "mine.pt", "")
    monkeypatch.chdir(project / "suites")
    code, output = run("mine.py", *COLLECT)
    assert code == 0, output
    assert "suites/mine.py::mine-q8-cpu_onnxruntime::size" in output
    assert Path.cwd() == project / "suites"


def test_a_suite_s_error_says_what_to_write_in_it(run: Run, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(project / "suites/mine.py", MINE.replace(', weights="mine.pt"', ""))
    write(project / "nets/mine.py", NET)
    monkeypatch.chdir(project / "suites")
    code, output = run("mine.py", *COLLECT)
    assert code == 2
    assert 'Model(…, weights="FILE"), or Model(…, pretrained=True)' in output
    assert "--weights" not in output and "--pretrained" not in output
    assert f"(a suite's paths start at {project})" in output


def test_a_suite_is_no_script_and_says_how_it_is_run(project: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "suites/signs.py"]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == ("hqp: error: suites/signs.py is a suite, which pytest runs; try: pytest suites/signs.py\n")
    write(project / "suites/signs.py", SUITE + '\nif __name__ == "__main__":\n    print("mine")\n')
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "mine\n")


# --- coverage -------------------------------------------------------------------------------------------------------

SKIPS_GATES = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if item.name == "size":
            item.add_marker(pytest.mark.skip(reason="not today"))
"""


@pytest.mark.parametrize("how", ["skipped", "deselected"])
def test_a_case_of_the_baseline_that_is_skipped_or_deselected_fails_coverage(
    run: Run,
    project: Path,
    how: str,
    make_measurement: Callable[..., Measurement],
    make_results: Callable[..., Results],
) -> None:
    cases = [Case("resnet18", method, "cpu_onnxruntime") for method in ("q8", "hqp")]
    baselines.update(project / "baselines", make_results(*(make_measurement(case=case) for case in cases)))
    words = {"skipped": ("--hqp-partial",), "deselected": ("--deselect", "suites/signs.py::resnet18")}[how]
    if how == "skipped":
        write(project / "conftest.py", SKIPS_GATES)
    code, output = run("suites", *words)
    assert (code, "1 failed" in output) == (1, True), output
    assert f"2 of 2 planned cases were not measured: {cases[0]}, {cases[1]}; run all" in output
    assert "no cases of the suite" not in output


def test_a_case_of_the_baseline_that_was_renamed_fails_coverage_of_a_partial_run_too(
    run: Run, project: Path, make_measurement: Callable[..., Measurement], make_results: Callable[..., Results]
) -> None:
    gone = Case("resnet18", "q4", "cpu_onnxruntime")
    baselines.update(project / "baselines", make_results(make_measurement(case=gone)))
    code, output = run("suites", "-k", "coverage", "--hqp-partial")
    assert (code, "1 failed" in output) == (1, True), output
    assert f"in the baseline, and no cases of the suite: {gone}; where they are gone for good" in output
    assert "planned cases were not measured" not in output


def test_a_case_that_cannot_be_measured_is_tried_once(project: Path) -> None:
    """Each of its gates tells the first failure; none starts the minutes anew."""
    write(project / "nets/mine.py", NET)
    write(project / "mine.pt", "no weights")
    model = Model("nets/mine.py:build", weights="mine.pt", name="mine")
    suite = Suite((model,), "signs", ("cpu_onnxruntime",), ("q8",), (Gate("size", max_ratio=0.3),))
    context, stored = Context(Store(project / ".hqp")), Stored("mine", project / "baselines", str(project / "files"))
    made = SuiteRun("Is it small?", suite, context, stored, "hqp baseline update")
    errors = []
    for _ in range(2):
        with pytest.raises(HqpError) as refused:
            made.judge(made.cases[0], made.bounds[0])
        errors.append(refused.value)
        (project / "mine.pt").unlink(missing_ok=True)
    assert errors[0] is errors[1]


def test_an_address_of_artefacts_is_read_only_and_no_folder(
    run: Run, project: Path, make_measurement: Callable[..., Measurement], make_results: Callable[..., Results]
) -> None:
    write(project / "pytest.ini", "[pytest]\nhqp_artefacts = https://example.org/files\n")
    baselines.update(project / "baselines", make_results(make_measurement(case=Case("gone", "q8", "cpu_openvino"))))
    code, output = run("suites", "-k", "coverage", "--hqp-partial")
    assert code == 1
    assert "hqp baseline update .hqp/results/signs.json\n" in output and "--artefacts" not in output


def test_folders_of_the_ini_file_stand_in_the_command_that_records_a_baseline(
    run: Run, project: Path, make_measurement: Callable[..., Measurement], make_results: Callable[..., Results]
) -> None:
    write(project / "pytest.ini", "[pytest]\nhqp_baselines = kept\nhqp_artefacts = lfs\n")
    case = Case("resnet18", "q4", "cpu_onnxruntime")
    baselines.update(project / "kept", make_results(make_measurement(case=case)))
    code, output = run("suites", "-k", "coverage")
    assert code == 1
    assert "hqp baseline update .hqp/results/signs.json --baselines kept --artefacts lfs" in output
