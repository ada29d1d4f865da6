"""The history of a suite's cases: what each commit stored as the baseline of a device.

It is read from git as data, as far back as ``MOST`` commits. Where there is none, ``History`` says why in one line.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hqp import documents, transport
from hqp.errors import HqpError
from hqp.records import Baseline, BaselineEntry, Case, Estimate, Measurement, Results
from hqp.reports import _numbers
from hqp.reports._layout import ABSENT, Section, number
from hqp.stats import ratio

# Where baselines are, unless the run was judged against some elsewhere.
BASELINES = Path("baselines")
# Beyond so many a figure cannot be read.
MOST = 50
# git answers at once; a lock of another process must not hold up a report.
GIT_S = 20.0
# What stands before a commit in git's list, and in no path.
MARK = "\x01"


@dataclass(frozen=True)
class Point:
    """A case as a commit stored it, or as this run measured it, where ``commit`` is empty.

    ``environment`` is the digest of that in which it was measured: numbers of two are not compared.
    """

    case: Case
    commit: str
    date: str
    environment: str
    median_ms: float | None
    speedup: Estimate | None
    model_bytes: int
    sparsity: float
    top1: float


@dataclass(frozen=True)
class History:
    """The stored states of a suite's cases, the oldest first; ``absent`` says why there are none.

    ``unread`` counts the baselines that this HQP does not read, as those of an earlier schema.
    """

    points: tuple[Point, ...] = ()
    unread: int = 0
    absent: str = ""

    def of(self, results: Results, model: str) -> tuple[Point, ...]:
        """The stored states of a model's cases, and after them what this run measured of the same cases."""
        stored = [point for point in self.points if point.case.model == model]
        cases = {point.case for point in stored}
        now = [_measured(results, row) for row in results.measurements if row.case in cases]
        return (*stored, *now)


def read(results: Results) -> History:
    """The history of a run's cases in the repository that its baselines are in."""
    root = _root(results)
    if not root.is_dir():
        return History(absent=f"there is no folder {root}; to record a baseline: hqp baseline update RESULTS")
    try:
        listed = _commits(root, results.suite)
    except HqpError as error:
        return History(absent=f"git knows no history of {root}: {error}")
    cases = {row.case for row in results.measurements}
    states = [_stored(root.resolve(), commit, name) for commit, name in listed]
    points = [point for state in states for point in state or () if point.case in cases]
    absent = "" if points else f"no commit holds a baseline of these cases in {root}"
    return History(tuple(points), states.count(None), absent)


def section(history: History, results: Results, model: str) -> Section:
    """A line for each stored state of each case, and one for what this run measured."""
    headers = ("method", "device", "recorded", "commit", "environment", "median ms", "speed-up", "MB", "θ %", "top-1 %")
    points = sorted(history.of(results, model), key=lambda point: (point.case.device, point.case.method))
    lines = ["numbers of two environments are not compared; a speed-up is against FP32 in the same run"]
    if history.unread:
        lines.append(f"not shown: {history.unread} stored states of another schema than this HQP reads")
    return Section(f"{model}: history", headers, tuple(map(_row, points)), tuple(lines), 5, model=model)


def _row(point: Point) -> tuple[str, ...]:
    speedup = point.speedup
    return (
        point.case.method,
        point.case.device,
        point.date,
        point.commit[:8] or "this run",
        point.environment,
        ABSENT if point.median_ms is None else number(point.median_ms, 3),
        f"{speedup.value:.2f}x ({speedup.lower:.2f} to {speedup.upper:.2f})" if speedup else ABSENT,
        number(point.model_bytes / 1e6, 2),
        number(100 * point.sparsity, 1),
        number(100 * point.top1, 2),
    )


def _root(results: Results) -> Path:
    """The folder of the baselines that the run was judged against, where it is below this one.

    A results file may come from anywhere, and has no say in where git is run beyond that.
    """
    # <root>/<device>/<environment>/<suite>.json
    depth = 2 + results.suite.count("/")
    for against in results.against:
        path = Path(against.path)
        if not path.is_absolute() and ".." not in path.parts and depth < len(path.parents):
            return path.parents[depth]
    return BASELINES


def _commits(root: Path, suite: str) -> Iterator[tuple[str, str]]:
    """Each commit that stored a baseline of the suite, the oldest first, with the file's name below ``root``."""
    words = ["log", f"--max-count={MOST}", "--diff-filter=AM", "--no-renames", "--no-show-signature", "--no-color"]
    words += ["--format=%x01%H", "--name-only", "--relative", "-z", "--", f":(glob)*/*/{suite}.json"]
    told = transport.run(["git", "-C", str(root), *words], timeout_s=GIT_S).stdout
    commits = [commit.replace("\n", "").split("\0") for commit in told.split(MARK) if commit]
    return ((commit[0], name) for commit in reversed(commits) for name in commit[1:] if name)


@functools.cache
def _stored(root: Path, commit: str, name: str) -> tuple[Point, ...] | None:
    """The cases of a baseline in a commit; ``None`` where this HQP does not read it."""
    words = ["git", "-C", str(root), "show", "--end-of-options", f"{commit}:./{name}"]
    try:
        text = transport.run(words, timeout_s=GIT_S).stdout
        baseline = documents.from_json(text, Baseline, f"{name} of {commit}", "another commit")
    except HqpError:
        return None
    return tuple(_point(baseline, entry, commit) for entry in baseline.entries)


def _point(baseline: Baseline, entry: BaselineEntry, commit: str) -> Point:
    samples = entry.latency.candidate_ms
    # Without an FP32 file a case is timed beside itself.
    beside_itself = entry.latency.reference_sha256 == entry.model_sha256
    return Point(
        case=entry.case,
        commit=commit,
        date=baseline.date,
        environment=baseline.environment.digest,
        median_ms=float(np.median(samples)) if samples.size else None,
        speedup=None if beside_itself else ratio.speedup(entry.latency),
        model_bytes=entry.model_bytes,
        sparsity=entry.sparsity,
        top1=entry.accuracy.top1,
    )


def _measured(results: Results, row: Measurement) -> Point:
    samples = row.latency.candidate_ms
    beside_itself = row.latency.reference_sha256 == row.sidecar.file.sha256
    return Point(
        case=row.case,
        commit="",
        date=results.date,
        environment=row.environment.digest,
        median_ms=float(np.median(samples)) if samples.size else None,
        speedup=None if beside_itself else _numbers.speedup(row),
        model_bytes=row.sidecar.file.size_bytes,
        sparsity=row.sidecar.filters.sparsity,
        top1=row.accuracy.top1,
    )
