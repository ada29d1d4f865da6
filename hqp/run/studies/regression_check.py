"""Whether CI's judgement of a pull request is right: ``nox -s regression-check -- --runs 20``.

It does what the job ``regression`` of ``.github/workflows/ci.yml`` does, in throw-away clones of the checkout at hand:
the base records its artefacts, a branch that changes nothing is judged beside them, and so is a branch that plants a
slow-down of 10% into what is shipped. The first must pass each time, the second fail each time.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tabulate import tabulate

from hqp import documents
from hqp.errors import HqpError
from hqp.records import Results
from hqp.run.results import path_of

SUITE = "suites/pull_request.py"
GATE = "latency_regression"
PASSED, FAILED = 0, 1

# By how much the planted branch ships a slower network, and the change of one line that plants it.
SHARE = 0.1
PLACE = "hqp/compress/search/draft.py"
SHIPPED = "return self.candidates.file(self.final)"
PLANTED = """from hqp.run.studies.regression_check import slowed

        return slowed(self.candidates.file(self.final), self.job)"""


def slowed(file: Path, job: Any) -> Path:
    """What a planted branch ships in place of a file: the same network, slower by 10% on the device of the ``job``."""
    from hqp.run.context import Context
    from hqp.run.selftest.slowdown import slower

    device = job.device.rpartition("-")[0]
    return slower(Context(job.store), device, file, SHARE).file


@dataclass(frozen=True)
class Judged:
    """One run of a branch: pytest's exit code, how often the gate said what, and how long it took."""

    branch: str
    code: int
    outcomes: tuple[str, ...]
    minutes: float

    @property
    def is_right(self) -> bool:
        """Whether a branch that changes nothing passed, or one that is slower was failed by the gate itself."""
        if self.branch == "slower":
            return self.code == FAILED and "fail" in self.outcomes
        return self.code == PASSED

    @property
    def row(self) -> tuple[str, ...]:
        """What the table says of it."""
        counts = [f"{self.outcomes.count(outcome)}" for outcome in ("pass", "fail", "inconclusive")]
        return (self.branch, str(self.code), *counts, f"{self.minutes:.1f}", "right" if self.is_right else "WRONG")


@dataclass(frozen=True)
class Clone:
    """A throw-away clone in which commands run as they would in a checkout of CI, each with its own HQP."""

    folder: Path

    @classmethod
    def of(cls, checkout: Path, folder: Path) -> Clone:
        """A clone of what is committed in a checkout."""
        _require(subprocess.run(["git", "clone", "--quiet", str(checkout), str(folder)]).returncode, "git clone")
        return cls(folder)

    def plant(self) -> None:
        """Changes the line that says what is shipped."""
        file = self.folder / PLACE
        text = file.read_text(encoding="utf-8")
        if text.count(SHIPPED) != 1:
            raise HqpError(f"{PLACE} does not say '{SHIPPED}' once", "the line in which a slow-down is planted")
        file.write_text(text.replace(SHIPPED, PLANTED), encoding="utf-8")

    def run(self, *words: str, may_fail: bool = False) -> int:
        """The exit code of a module of Python in the clone; what it says goes to standard error."""
        environment = {**os.environ, "PYTHONPATH": str(self.folder)}
        command = [sys.executable, "-m", *words]
        code = subprocess.run(command, cwd=self.folder, env=environment, stdout=sys.stderr).returncode
        if not may_fail or code not in (PASSED, FAILED):
            _require(code, " ".join(words))
        return code

    def judge(self, suite: str, baselines: Path) -> Judged:
        """The suite of this clone, judged beside the baselines of another."""
        began = time.monotonic()
        code = self.run("pytest", suite, "--hqp-baselines", str(baselines), may_fail=True)
        made = documents.read(path_of(self.folder / ".hqp", Path(suite).stem), Results, fix="")
        verdicts = [judged.verdict for judged in made.judgements if judged.gate == GATE and judged.bound]
        outcomes = tuple(verdict.outcome for verdict in verdicts if verdict)
        return Judged(self.folder.name, code, outcomes, (time.monotonic() - began) / 60)


def check(checkout: Path, folder: Path, suite: str, runs: int) -> Iterator[Judged]:
    """Every run of both branches, in turn, so that what the machine does meanwhile meets both."""
    base = Clone.of(checkout, folder / "base")
    for _ in range(2):
        # What this state fails at is its own matter; what it measured is what the next is compared with.
        base.run("pytest", suite, may_fail=True)
    base.run("hqp", "baseline", "update", str(path_of(Path(".hqp"), Path(suite).stem)))

    branches = [Clone.of(checkout, folder / name) for name in ("unchanged", "slower")]
    branches[1].plant()
    for _ in range(runs):
        for branch in branches:
            yield branch.judge(suite, base.folder / "baselines")


def main(words: list[str] | None = None) -> int:
    """Prints each run, and how often each branch was judged right; 0 where that is always."""
    parser = argparse.ArgumentParser(prog="nox -s regression-check --", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=20, help="how often each branch is judged (default: %(default)s)")
    parser.add_argument("--suite", default=SUITE, help="which committed suite judges (default: %(default)s)")
    given = parser.parse_args(words)
    made = []
    with tempfile.TemporaryDirectory(prefix="hqp-regression-") as folder:
        for judged in check(Path.cwd(), Path(folder), given.suite, given.runs):
            made.append(judged)
            print("  ".join(judged.row), file=sys.stderr, flush=True)
    headers = ("branch", "exit code", "pass", "fail", "inconclusive", "minutes", "")
    print(tabulate([judged.row for judged in made], headers, tablefmt="pipe", disable_numparse=True))
    for branch in ("unchanged", "slower"):
        right = [judged.is_right for judged in made if judged.branch == branch]
        print(f"\n{branch}: judged right {sum(right)} times of {len(right)}")
    return int(not all(judged.is_right for judged in made))


def _require(code: int, what: str) -> None:
    if code:
        raise HqpError(f"{what} ended with exit code {code}", "a checkout whose suite runs", "see above what it said")


if __name__ == "__main__":
    sys.exit(main())
