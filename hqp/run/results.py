"""The results of a run: what they hold beside the measurements, and where they are written."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from pathlib import Path

import hqp
from hqp import documents
from hqp.measure import environment
from hqp.records import Against, Judgement, Measurement, Results


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


def keep(store: Path, made: Results) -> Path:
    """Writes a suite's results in place of those of its last run, which become those of the run before."""
    path = path_of(store, made.suite)
    if path.is_file():
        documents.write_bytes(before_path_of(store, made.suite), path.read_bytes())
    documents.write(path, made)
    return path


def shown(path: Path) -> Path:
    """A path as a user types it: relative where it is below the working directory."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
