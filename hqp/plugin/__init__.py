"""The pytest plug-in: one test per case and gate that binds it, and one coverage test per suite.

A ``.py`` file that declares a suite is one where it stands in a folder named ``suites`` or is asked for by name. It is
collected into ``suites/signs.py::CASE::GATE``. ``-m "compressed(gate='speedup')"`` selects by gate, model, method
or device.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hqp.errors import HqpError
from hqp.plugin import benchmarks, places
from hqp.plugin.items import FILES, GateItem, SuiteFile, SuiteItem
from hqp.plugin.places import OPTIONS, is_suite, results_file

if TYPE_CHECKING:
    from _pytest.terminal import TerminalReporter

    from hqp.records import Results

MISTAKE = 2

# Each suite's results, by the node id of its file, and what could not be written of them.
RESULTS = pytest.StashKey[dict[str, "Results"]]()
UNWRITTEN = pytest.StashKey[list[str]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options stand on the command line or, without the dashes, in the ini file."""
    group = parser.getgroup("hqp", "compressed neural networks")
    for name, (default, text) in OPTIONS.items():
        group.addoption(f"--hqp-{name}", metavar="DIR", help=f"{text} (default: {default})")
        parser.addini(f"hqp_{name}", text)
    partial = "cases that are deselected are not missed by a suite's coverage test"
    group.addoption("--hqp-partial", action="store_true", help=partial)
    parser.addini("hqp_partial", partial, type="bool", default=False)


def pytest_configure(config: pytest.Config) -> None:
    """The marker of what suites ask for, which ``--strict-markers`` wants to know."""
    # Not `hqp`: -k looks into the names of markers too, and `-k hqp` chooses a method.
    text = "compressed(gate, model, method, device): a gate on a case of a suite, or the suite's coverage."
    config.addinivalue_line("markers", text)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """A suite file becomes its cases and gates, and is no module of test functions besides."""
    collectors = yield
    asked = parent.session.isinitpath(file_path)
    return [SuiteFile.from_parent(parent, path=file_path)] if is_suite(file_path, asked) else collectors


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session: pytest.Session) -> None:
    """Where results go is tried before the work."""
    from hqp import documents

    if session.config.option.collectonly:
        return
    wanted = {item.run for item in session.items if isinstance(item, SuiteItem)}
    for file in session.config.stash.get(FILES, []):
        if file.run in wanted:
            try:
                documents.require_place(results_file(session.config, file.run.name), "--hqp-store DIR")
            except HqpError as error:
                pytest.exit(f"hqp: error: {error}", returncode=MISTAKE)


def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    """What was measured is written when its case is done: a run that is killed loses none but the one it is in."""
    if isinstance(item, GateItem) and (nextitem is None or nextitem.parent is not item.parent):
        suite = item.suite_file
        suite.keep(suite.run.results())


# pytest-benchmark writes its files as a wrapper of this hook, too, and must have the cases before.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> Generator[None, None, None]:
    """What was measured is written, also where the run was interrupted."""
    stash = session.config.stash
    made = {file: file.run.results() for file in stash.get(FILES, [])}
    measured = {file: results for file, results in made.items() if results.measurements}
    by_file = {file.nodeid: results for file, results in measured.items()}
    stash[RESULTS], stash[UNWRITTEN] = by_file, []
    benchmarks.hand_over(session.config, by_file)
    for file, results in measured.items():
        unwritten = file.keep(results) or _summarised(results)
        if unwritten:
            # The tables are printed all the same: they are all that is left of the run.
            stash[UNWRITTEN].append(unwritten)
            session.exitstatus = MISTAKE
    yield


def _summarised(results: Results) -> str:
    """On GitHub, puts the report onto the job's page; why it could not, or ''."""
    from hqp import catalog

    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if not page:
        return ""
    try:
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(catalog.load("reports", "markdown").render(results))
    except OSError as error:
        return places.unwritten(error, Path(page))
    return ""


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """The tables of each suite, where its results are, and what to type next."""
    from hqp import catalog
    from hqp.run.results import shown

    unwritten = config.stash.get(UNWRITTEN, [])
    for results in config.stash.get(RESULTS, {}).values():
        terminalreporter.section(f"suite {results.suite}")
        terminalreporter.write_line(_legible(catalog.load("reports", "table").render(results)))
        if not unwritten:
            path = shown(results_file(config, results.suite))
            terminalreporter.write_line(f"results  {path}   (hqp report {path})")
    for line in unwritten:
        terminalreporter.write_line(line, red=True)


def _legible(text: str) -> str:
    """The text with signs spelt out that the terminal lacks: pytest would escape all of it, its line breaks, too."""
    from hqp import spelling

    return spelling.legible(text, getattr(sys.__stdout__, "encoding", None) or "utf-8")


def pytest_keyboard_interrupt(excinfo: pytest.ExceptionInfo[BaseException]) -> None:
    """An interrupted run loses only the step it was in."""
    # pytest ends a session of its own accord with a subclass.
    if type(excinfo.value) is KeyboardInterrupt:
        sys.stderr.write("\nhqp: stopped; every finished step is kept, the same command goes on from there\n")
