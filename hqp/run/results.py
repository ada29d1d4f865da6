"""The results of a run: what they hold beside the measurements, and where they are written."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

import hqp
from hqp import documents
from hqp.errors import HqpError
from hqp.measure import environment
from hqp.records import Against, Case, Judgement, Measurement, Results


def results(
    name: str,
    question: str,
    measurements: tuple[Measurement, ...],
    judgements: tuple[Judgement, ...],
    against: tuple[Against, ...] = (),
) -> Results:
    """A run's measurements and judgements, with the machine, the command and the time."""
    return Results(
        schema_version=Results.SCHEMA,
        hqp_version=hqp.__version__,
        suite=name,
        question=question,
        date=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        command=_command(),
        machine=environment.machine(),
        measurements=measurements,
        judgements=judgements,
        against=against,
    )


def _command() -> str:
    program = Path(sys.argv[0])
    name = f"python -m {program.parent.name}" if program.name == "__main__.py" else program.name
    return " ".join([name, *sys.argv[1:]])


def path_of(store: Path, suite: str) -> Path:
    """Where a suite's results stand."""
    return store / "results" / f"{suite}.json"


def before_path_of(store: Path, suite: str) -> Path:
    """Where the results of a suite's run before the last stand."""
    return store / "results-before" / f"{suite}.json"


@dataclass
class Keeper:
    """Writes the results of one run of a suite below ``store``, as often as something was added to them.

    They take the place of those of its last run, which become those of the run before; there, a run of a part of the
    suite takes the place of no run of more of it.
    """

    store: Path
    _is_mine: bool = False

    def keep(self, made: Results) -> Path:
        """Writes what this run has made so far, whole or not at all, and says where."""
        path, before = path_of(self.store, made.suite), before_path_of(self.store, made.suite)
        if not self._is_mine and path.is_file() and not _cases(path) < _cases(before):
            documents.write_bytes(before, path.read_bytes())
        documents.write(path, made)
        self._is_mine = True
        return path


def _cases(path: Path) -> frozenset[Case]:
    """The cases that the results in a file measured; none where it holds no results that this HQP reads."""
    try:
        return frozenset(measured.case for measured in documents.read(path, Results, fix="").measurements)
    except HqpError:
        return frozenset()


def shown(path: Path) -> Path:
    """A path as a user types it: relative where it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
