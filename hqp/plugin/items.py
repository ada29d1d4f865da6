"""What a suite file is collected into: cases, their gates, and one coverage test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hqp.errors import HqpError
from hqp.plugin import places

if TYPE_CHECKING:
    from _pytest._code.code import TerminalRepr

    from hqp.records import Case, Judgement, Results
    from hqp.run.judge import Bound
    from hqp.run.results import Keeper
    from hqp.run.suite import SuiteRun

# The suites that were collected.
FILES = pytest.StashKey[list["SuiteFile"]]()


class GateFailed(Exception):
    """A verdict that is not a pass; its text is the reason."""


class SuiteFile(pytest.File):
    """A file that declares ``suite``."""

    run: SuiteRun
    _keeper: Keeper

    def collect(self) -> Iterator[pytest.Item | pytest.Collector]:
        _refuse_processes(self.config)
        self.run = self._run()
        self.config.stash.setdefault(FILES, []).append(self)
        for case in self.run.cases:
            if self.run.binding(case):
                yield CaseCollector.from_parent(self, name=str(case), case=case)
        yield CoverageItem.from_parent(self, name="coverage")

    def _run(self) -> SuiteRun:
        from hqp.run import suite_file
        from hqp.run.context import Context
        from hqp.run.reruns import Stored
        from hqp.run.results import Keeper
        from hqp.run.suite import SuiteRun
        from hqp.store import Store

        config, name = self.config, places.suite_name(self.config, self.path)
        record_command = places.record_command(config, name)
        with places.at_rootdir(config):
            question, suite = suite_file.read(self.path)
            context = Context(Store(places.folder(config, "store")))
            stored = Stored(name, places.folder(config, "baselines"), places.artefacts(config))
            self._keeper = Keeper(places.folder(config, "store"))
            return SuiteRun(question, suite, context, stored, record_command)

    def keep(self, made: Results) -> str:
        """Writes the results so far, where something was measured; why it could not, or ''."""
        if not made.measurements:
            return ""
        try:
            self._keeper.keep(made)
        except OSError as error:
            # At the end it is tried again: by then there may be room.
            return places.unwritten(error, places.results_file(self.config, self.run.name))
        return ""

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        return _one_line(excinfo, self.config) or super().repr_failure(excinfo)


def _refuse_processes(config: pytest.Config) -> None:
    """Cases are measured one after the other in this one process, which holds what was measured."""
    if hasattr(config, "workerinput") or getattr(config.option, "numprocesses", None):
        raise HqpError("suites cannot run under xdist: cases side by side disturb each other", fix="pytest -n 0")
    if getattr(config.option, "forked", False):
        raise HqpError("suites cannot run under --forked: what a child measures is lost", fix="pytest without --forked")


def _one_line(excinfo: pytest.ExceptionInfo[BaseException], config: pytest.Config) -> str | None:
    from hqp.run import suite_words

    error = excinfo.value
    if isinstance(error, GateFailed):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if not isinstance(error, HqpError):
        return None
    # Only one who stands elsewhere can be mistaken about where a path of the suite starts.
    elsewhere = Path.cwd() != config.rootpath
    return suite_words.told(error) + (f" (a suite's paths start at {config.rootpath})" if elsewhere else "")


class CaseCollector(pytest.Collector):
    """A case with the gates that bind it."""

    def __init__(self, *, case: Case, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.case = case

    def collect(self) -> Iterator[pytest.Item]:
        assert isinstance(self.parent, SuiteFile)
        for bound in self.parent.run.binding(self.case):
            yield GateItem.from_parent(self, name=bound.gate.name, case=self.case, bound=bound)


class SuiteItem(pytest.Item):
    """An item of a suite; progress is shown while it runs, and what fails is told in one line."""

    @property
    def suite_file(self) -> SuiteFile:
        """The file of the suite that the item belongs to."""
        suite = self.getparent(SuiteFile)
        assert suite is not None
        return suite

    @property
    def run(self) -> SuiteRun:
        """The run of that suite."""
        return self.suite_file.run

    def runtest(self) -> None:
        capture = self.config.pluginmanager.getplugin("capturemanager")
        with capture.global_and_fixture_disabled() if capture else nullcontext(), places.at_rootdir(self.config):
            self.check()

    def check(self) -> None:
        raise AssertionError("each kind of item has its own check")

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> str | TerminalRepr:
        return _one_line(excinfo, self.config) or super().repr_failure(excinfo)

    def reportinfo(self) -> tuple[Path, int, str]:
        # pytest's own skips need a line.
        return self.path, 0, self.name


class GateItem(SuiteItem):
    """One gate on one case."""

    def __init__(self, *, case: Case, bound: Bound, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.case, self.bound = case, bound
        self.add_marker(pytest.mark.compressed(gate=bound.gate.name, **asdict(case)))

    def check(self) -> None:
        from hqp.run.figures import figures

        judgement = self.run.judge(self.case, self.bound)
        # In place of those of an earlier try.
        self.user_properties[:] = [*_properties(judgement), *figures(self.run.measure(self.case)).items()]
        if judgement.verdict is None:
            pytest.skip(judgement.skipped or "nothing to judge")
        outcome, told = judgement.verdict.outcome, f"{judgement.verdict.outcome}: {judgement.verdict.reason}"
        if outcome == "inconclusive" and self.run.suite.inconclusive == "skip":
            pytest.skip(told)
        if outcome != "pass":
            raise GateFailed(told)


def _properties(judgement: Judgement) -> list[tuple[str, object]]:
    verdict = judgement.verdict
    if verdict is None:
        return []
    properties: list[tuple[str, object]] = [("outcome", verdict.outcome), ("reason", verdict.reason)]
    if verdict.estimate is not None:
        told = asdict(verdict.estimate)
        properties += [("estimate", told.pop("value")), *told.items()]
    return properties + [(name, limit) for name, limit in verdict.limits.items()]


class CoverageItem(SuiteItem):
    """Every case that the suite plans, and every case of its baselines, was measured."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.add_marker(pytest.mark.compressed(gate=self.name))

    def check(self) -> None:
        run = self.run
        for case in run.cases:
            # Cases that a gate binds were measured for it, unless they were deselected or skipped.
            if not run.binding(case):
                run.show(case)
                self.suite_file.keep(run.results())
        planned, lost = run.unmeasured()
        self.user_properties[:] = [("planned", len(run.cases)), ("measured", len(run.cases) - len(planned))]
        if self._is_partial():
            chosen = {item.case for item in self.session.items if isinstance(item, GateItem) and item.run is run}
            planned = tuple(case for case in planned if case in chosen)
        missing = []
        if planned:
            missing.append(
                f"{len(planned)} of {len(run.cases)} planned cases were not measured: {_named(planned)}; run all, "
                "or pytest --hqp-partial where they are deselected on purpose"
            )
        if lost:
            missing.append(
                f"in the baseline, and no cases of the suite: {_named(lost)}; where they are gone for good, "
                f"take the suite's baselines out of version control and {run.record_command}"
            )
        if missing:
            raise GateFailed("; ".join(missing))

    def _is_partial(self) -> bool:
        return bool(self.config.getoption("--hqp-partial") or self.config.getini("hqp_partial"))


def _named(cases: tuple[Case, ...]) -> str:
    return ", ".join(map(str, cases))
