"""The pytest plug-in: one test per case and gate that binds it, and one coverage test per suite.

A ``.py`` file in a folder named ``suites`` is a suite, and any other that is asked for by name and declares one. It is
collected into ``suites/signs.py::CASE::GATE``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hqp.errors import HqpError

if TYPE_CHECKING:
    from _pytest._code.code import ExceptionInfo, TerminalRepr
    from _pytest.terminal import TerminalReporter

    from hqp.records import Case, Judgement, Results
    from hqp.run.bench import Bench
    from hqp.run.judge import Bound

SUITES_FOLDER = "suites"
DECLARES = re.compile(r"^suite\b.*=\s*Suite\(", re.MULTILINE)
STORE = ".hqp"


class GateFailed(Exception):
    """A verdict that is not a pass; its text is the reason."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Options stand on the command line or, without the dashes, in the ini file."""
    group = parser.getgroup("hqp", "compressed neural networks")
    for name, default, text in (
        ("store", STORE, "where artefacts and results are kept"),
        ("baselines", "baselines", "where baselines are read"),
    ):
        group.addoption(f"--hqp-{name}", metavar="DIR", help=f"{text} (default: {default})")
        parser.addini(f"hqp_{name}", text, default=default)


def _folder(config: pytest.Config, name: str) -> Path:
    given = config.getoption(f"--hqp-{name}") or config.getini(f"hqp_{name}")
    return config.rootpath / str(given)


@pytest.hookimpl(wrapper=True)
def pytest_collect_file(
    file_path: Path, parent: pytest.Collector
) -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """A suite file becomes its cases and gates, and is no module of test functions besides."""
    collectors = yield
    asked = parent.session.isinitpath(file_path)
    return [SuiteFile.from_parent(parent, path=file_path)] if _is_suite(file_path, asked) else collectors


def _is_suite(path: Path, asked: bool) -> bool:
    if path.suffix != ".py":
        return False
    if path.parent.name == SUITES_FOLDER:
        return not path.name.startswith("_")
    return asked and bool(DECLARES.search(path.read_text(encoding="utf-8", errors="replace")))


class SuiteFile(pytest.File):
    """A file that declares ``suite``."""

    bench: Bench

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        _refuse_xdist(self.config)
        self.bench = self._bench()
        benches: list[Bench] = self.config.stash.setdefault(BENCHES, [])
        benches.append(self.bench)
        for case in self.bench.cases:
            if any(bound.gate.binds(case) for bound in self.bench.bounds):
                yield CaseCollector.from_parent(self, name=str(case), case=case)
        yield CoverageItem.from_parent(self, name="coverage")

    def _bench(self) -> Bench:
        from hqp.run.bench import Bench
        from hqp.run.context import Context
        from hqp.store import Store
        from hqp.suite import Suite

        module = _module(self.path)
        suite = getattr(module, "suite", None)
        if not isinstance(suite, Suite):
            raise HqpError(f"{self.path.name} declares no suite", "suite = Suite(…)", "from hqp import Gate, Suite")
        question = " ".join((module.__doc__ or self.path.stem).split())
        context = Context(Store(_folder(self.config, "store")))
        return Bench(self.path.stem, question, suite, context, _folder(self.config, "baselines"))

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        return _one_line(excinfo) or super().repr_failure(excinfo)


def _module(path: Path) -> Any:
    import importlib.util

    spec = importlib.util.spec_from_file_location(f"hqp_suite_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise HqpError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _refuse_xdist(config: pytest.Config) -> None:
    if hasattr(config, "workerinput") or getattr(config.option, "numprocesses", None):
        raise HqpError("suites cannot run under xdist: cases side by side disturb each other", fix="pytest -p no:xdist")


def _one_line(excinfo: ExceptionInfo[BaseException]) -> str | None:
    return str(excinfo.value) if isinstance(excinfo.value, HqpError | GateFailed) else None


class CaseCollector(pytest.Collector):
    """A case with the gates that bind it."""

    def __init__(self, *, case: Case, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.case = case

    def collect(self) -> Iterator[pytest.Item]:
        assert isinstance(self.parent, SuiteFile)
        for bound in self.parent.bench.bounds:
            if bound.gate.binds(self.case):
                yield GateItem.from_parent(self, name=bound.gate.name, case=self.case, bound=bound)


class _SuiteItem(pytest.Item):
    """An item of a suite; progress is shown while it runs, and what fails is told in one line."""

    @property
    def bench(self) -> Bench:
        suite = self.getparent(SuiteFile)
        assert suite is not None
        return suite.bench

    def runtest(self) -> None:
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled():
            self.check()

    def check(self) -> None:
        raise AssertionError("each kind of item has its own check")

    def repr_failure(self, excinfo: ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        return _one_line(excinfo) or super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, self.name


class GateItem(_SuiteItem):
    """One gate on one case."""

    def __init__(self, *, case: Case, bound: Bound, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.case, self.bound = case, bound

    def check(self) -> None:
        judgement = self.bench.judge(self.case, self.bound)
        self.user_properties.extend(_properties(judgement))
        if judgement.verdict is None:
            pytest.skip(judgement.skipped or "nothing to judge")
        if judgement.verdict.outcome != "pass":
            raise GateFailed(f"{judgement.verdict.outcome}: {judgement.verdict.reason}")


def _properties(judgement: Judgement) -> list[tuple[str, object]]:
    verdict = judgement.verdict
    if verdict is None:
        return []
    found: list[tuple[str, object]] = [("outcome", verdict.outcome), ("reason", verdict.reason)]
    if verdict.estimate is not None:
        found.append(("estimate", verdict.estimate.value))
    return found + [(name, limit) for name, limit in verdict.limits.items()]


class CoverageItem(_SuiteItem):
    """Every case of the suite and of its baselines was measured."""

    def check(self) -> None:
        bench = self.bench
        for case in bench.cases:
            # Cases that a gate binds were measured for it, unless they were deselected.
            if not any(bound.gate.binds(case) for bound in bench.bounds):
                bench.measure(case)
        missing = bench.unmeasured()
        if missing:
            raise GateFailed(f"in the baseline but not measured: {', '.join(missing)}; run all, or hqp baseline update")


BENCHES = pytest.StashKey[list["Bench"]]()
RESULTS = pytest.StashKey[list["Results"]]()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """What was measured is written, also where the run was interrupted."""
    from hqp import documents
    from hqp.run.bench import results_path

    made = [bench.results() for bench in session.config.stash.get(BENCHES, [])]
    session.config.stash[RESULTS] = [results for results in made if results.measurements]
    for results in session.config.stash[RESULTS]:
        documents.write(results_path(_folder(session.config, "store"), results.suite), results)
        _summarise_job(results)


def _summarise_job(results: Results) -> None:
    """On GitHub, the report stands on the job's page."""
    from hqp import catalog

    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        with Path(page).open("a", encoding="utf-8") as file:
            file.write(catalog.load("reports", "markdown").render(results))


def pytest_terminal_summary(terminalreporter: TerminalReporter, config: pytest.Config) -> None:
    """The tables of each suite, where its results are, and what to type next."""
    from hqp import catalog
    from hqp.run.bench import results_path, shown

    for results in config.stash.get(RESULTS, []):
        path = shown(results_path(_folder(config, "store"), results.suite))
        terminalreporter.section(f"suite {results.suite}")
        terminalreporter.write_line(catalog.load("reports", "table").render(results))
        terminalreporter.write_line(f"results  {path}   (hqp report {path})")


def pytest_keyboard_interrupt(excinfo: ExceptionInfo[BaseException]) -> None:
    """An interrupted run loses only the step it was in."""
    import sys

    # pytest ends a session of its own accord with a subclass.
    if type(excinfo.value) is KeyboardInterrupt:
        sys.stderr.write("\nhqp: stopped; every finished step is kept, the same command goes on from there\n")
