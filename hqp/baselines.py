"""What a suite measured and meant to keep: ``<root>/<device>/<environment>/<suite>.json``, read, written, compared.

Beside them lie the artefacts that they name, ``files/<sha256>.onnx``. Numbers of two environments are never compared:
whatever would is refused with the keys that differ.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hqp import documents
from hqp.errors import Damaged, HqpError, Incomparable, command
from hqp.records import Baseline, BaselineEntry, Case, Environment, Measurement, Results, metric_named

UPDATE = "hqp baseline update"
FILES = "files"

# Names become folders and files: none may climb out, hide itself, or mean something to a shell.
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")


def path_of(root: Path, device: str, environment: Environment, suite: str) -> Path:
    """Where the baseline of a suite on a device stands, whether or not it does yet.

    Raises:
        HqpError: the device or the suite has a name that no file may have.
    """
    return root / _name("device", device) / environment.digest / f"{suite_name(suite)}.json"


def suite_name(name: str) -> str:
    """The name of a suite, whose parts, joined by ``/``, can name folders and a file.

    Raises:
        HqpError: one of them cannot.
    """
    for part in name.split("/"):
        _name("suite", part)
    return name


def _name(kind: str, name: str) -> str:
    if not NAME.fullmatch(name):
        raise HqpError(f"{kind} name {name!r} cannot name a file", "letters, digits and _ . : - are right")
    return name


def file_name(sha256: str) -> str:
    """What an artefact of a baseline is called beside it."""
    return f"{sha256}.onnx"


def read(path: Path) -> Baseline:
    """The baseline in a file.

    Raises:
        Damaged: the file is cut off, of another schema, or holds what no baseline holds.
        HqpError: there is no such file.
    """
    baseline = documents.read(path, Baseline, fix=_anew(path))
    cases = [entry.case for entry in baseline.entries]
    foreign = [str(case) for case in cases if case.device != baseline.device]
    if foreign or len(set(cases)) < len(cases):
        wrong = f"holds {foreign[0]}, a case of another device" if foreign else "holds a case twice"
        raise Damaged(f"{path} {wrong}", fix=_anew(path))
    return baseline


def _anew(path: Path) -> str:
    return command("git", "checkout", path)


def find(root: Path, device: str, environment: Environment, suite: str) -> Baseline | None:
    """The baseline of a suite on a device in this very environment; ``None`` where there is none yet.

    Raises:
        Damaged: the file is none, or is of another suite or device than its place says.
        Incomparable: the file was recorded in another environment than its place says; lists the keys that differ.
    """
    path = path_of(root, device, environment, suite)
    if not path.exists():
        return None
    baseline = _read_of(path, device, suite)
    _require_same(environment, baseline.environment, str(path), _anew(path))
    return baseline


def _read_of(path: Path, device: str, suite: str) -> Baseline:
    baseline = read(path)
    if (baseline.suite, baseline.device) != (suite, device):
        raise Damaged(f"{path} is of suite {baseline.suite} on {baseline.device}", f"{suite} on {device}", _anew(path))
    return baseline


def _require_same(here: Environment, there: Environment, name: str, fix: str) -> None:
    differences = here.differences(there)
    if differences:
        raise Incomparable(f"{name} is of another environment ({'; '.join(differences)})", fix=fix)


def others(root: Path, device: str, suite: str) -> tuple[Baseline, ...]:
    """The baselines of a suite on a device in all environments, by path.

    Raises:
        Damaged: one of the files is none, or is of another suite or device than its place says.
    """
    paths = (root / _name("device", device)).glob(f"*/{suite_name(suite)}.json")
    return tuple(_read_of(path, device, suite) for path in sorted(paths))


def latest(root: Path, device: str, suite: str, environment: Environment | None) -> Baseline | None:
    """The baseline whose artefacts a suite is judged against: that of this environment, or else the latest of any.

    Where its file stands does not matter, only what it says; its numbers are for its own environment.

    Raises:
        Damaged: see ``others``.
    """
    recorded = others(root, device, suite)
    here = [baseline for baseline in recorded if baseline.environment == environment]
    return max(here or recorded, key=lambda baseline: baseline.date, default=None)


def devices(root: Path, suite: str) -> tuple[str, ...]:
    """The devices on which a suite has a baseline."""
    paths = root.glob(f"*/*/{suite_name(suite)}.json")
    return tuple(sorted({path.relative_to(root).parts[0] for path in paths}))


def from_results(results: Results) -> tuple[Baseline, ...]:
    """The baselines of a run, one for each device, by name.

    Raises:
        HqpError: the run measured nothing, or a case twice.
        Incomparable: a device was measured in two environments.
    """
    if not results.measurements:
        raise HqpError("these results hold no measurement", "a run in which a case was measured", "hqp bench")
    devices = sorted({measurement.case.device for measurement in results.measurements})
    return tuple(_of_device(results, device) for device in devices)


def _of_device(results: Results, device: str) -> Baseline:
    measured = [measurement for measurement in results.measurements if measurement.case.device == device]
    environment = measured[0].environment
    for measurement in measured:
        name = f"the measurement of {measurement.case}"
        _require_same(environment, measurement.environment, name, "run the suite anew, undisturbed")
    cases = [measurement.case for measurement in measured]
    twice = [str(case) for case in cases if cases.count(case) > 1]
    if twice:
        raise HqpError(f"these results hold {twice[0]} twice", "one artefact for each case")
    entries = tuple(_entry(measurement) for measurement in measured)
    return Baseline(Baseline.SCHEMA, results.hqp_version, results.suite, device, environment, results.date, entries)


def _entry(measurement: Measurement) -> BaselineEntry:
    sidecar = measurement.sidecar
    return BaselineEntry(
        case=measurement.case,
        model_sha256=sidecar.file.sha256,
        model_bytes=sidecar.file.size_bytes,
        sparsity=sidecar.filters.sparsity,
        latency=measurement.latency,
        accuracy=measurement.accuracy,
        metrics=tuple(metric for metric in measurement.metrics if not metric.of),
    )


def update(root: Path, results: Results) -> tuple[Path, ...]:
    """Writes the baselines of a run in place of those of the same environments, and says where they stand.

    Each is written whole or not at all, and none where one of them is refused: see ``from_results``.
    """
    placed = [
        (path_of(root, baseline.device, baseline.environment, baseline.suite), baseline)
        for baseline in from_results(results)
    ]
    for path, baseline in placed:
        documents.write_bytes(path, _text(baseline).encode())
    return tuple(path for path, _ in placed)


def _text(baseline: Baseline) -> str:
    """The JSON of a baseline with one block a line, so that its diff can be read."""
    return _laid_out(json.loads(documents.to_json(baseline)), "") + "\n"


def _laid_out(value: Any, indent: str) -> str:
    inner = indent + " "
    if isinstance(value, dict) and value:
        lines = [f"{json.dumps(key)}: {_laid_out(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(inner + line for line in lines) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        lines = [_laid_out(item, inner) if _is_deep(item) else json.dumps(item, ensure_ascii=False) for item in value]
        return "[\n" + ",\n".join(inner + line for line in lines) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False)


def _is_deep(item: Any) -> bool:
    """Whether an item of a list holds more than a block does: lists of numbers, and numbers by name."""
    if not isinstance(item, dict):
        return False
    named = [inner for inner in item.values() if isinstance(inner, dict)]
    return any(isinstance(value, dict | list) for inner in named for value in inner.values())


Fact = str | int | float | None


@dataclass(frozen=True)
class Difference:
    """A fact of a case that two baselines tell differently; ``None`` on a side that does not have it.

    ``what`` is a field of the entry, or the name of a metric, of which the medians are told in its ``unit``.
    """

    case: Case
    what: str
    old: Fact
    new: Fact
    unit: str = ""


def diff(old: Baseline, new: Baseline) -> tuple[Difference, ...]:
    """Whatever differs between two baselines of one suite, device and environment, case by case.

    A case that only one of them has is one difference, ``model_sha256``.

    Raises:
        HqpError: they are of two suites or devices.
        Incomparable: they are of two environments; lists the keys that differ.
    """
    if (old.suite, old.device) != (new.suite, new.device):
        raise HqpError(
            f"a baseline of {old.suite} on {old.device} and one of {new.suite} on {new.device} do not compare",
            "two of one suite and device",
        )
    _require_same(old.environment, new.environment, "the second baseline", "record both in one environment")
    return changes(old, new)


def changes(old: Baseline | None, new: Baseline | None) -> tuple[Difference, ...]:
    """The same where one of the two may not exist: each of its cases is added or removed then."""
    entries = [baseline.entries if baseline else () for baseline in (old, new)]
    cases = dict.fromkeys(entry.case for entry in (*entries[0], *entries[1]))
    sides = [{entry.case: entry for entry in one} for one in entries]
    return tuple(
        difference for case in cases for difference in _differences(case, sides[0].get(case), sides[1].get(case))
    )


def _differences(case: Case, old: BaselineEntry | None, new: BaselineEntry | None) -> list[Difference]:
    if old is None or new is None:
        before, after = (entry.model_sha256 if entry else None for entry in (old, new))
        return [Difference(case, "model_sha256", before, after)]
    mine, theirs = _facts(old), _facts(new)
    told = [Difference(case, what, mine[what], theirs[what]) for what in mine]
    units = {metric.name: metric.unit for metric in (*old.metrics, *new.metrics)}
    for name, unit in units.items():
        was, now = (_median(entry, name) for entry in (old, new))
        told.append(Difference(case, name, was, now, unit))
    return [difference for difference in told if difference.old != difference.new]


def _median(entry: BaselineEntry, name: str) -> float | None:
    metric = metric_named(entry.metrics, name)
    return metric.median if metric else None


def _facts(entry: BaselineEntry) -> dict[str, Fact]:
    samples = entry.latency.candidate_ms
    return {
        "model_sha256": entry.model_sha256,
        "model_bytes": entry.model_bytes,
        "sparsity": entry.sparsity,
        "split_digest": entry.accuracy.split_digest,
        "total": entry.accuracy.total,
        "correct": entry.accuracy.correct,
        "correct_top5": entry.accuracy.correct_top5,
        "median_latency_ms": float(np.median(samples)) if samples.size else None,
    }
