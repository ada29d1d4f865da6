"""``hqp baseline``: what a run measured, kept as its suite's baseline, or beside the baseline that is kept."""

from __future__ import annotations

from pathlib import Path

from hqp import baselines, documents, transport
from hqp.baselines import Difference
from hqp.errors import HqpError, Incomparable, command
from hqp.records import Baseline, Results
from hqp.run.agreement import disagreements
from hqp.run.results import before_path_of
from hqp.store import Store, fault_of_file

# git answers at once; a lock of another process must not hold up a command.
GIT_S = 20.0

RESULTS_FIX = "pytest suites"


def read_results(path: Path) -> Results:
    """The results in a file that a suite or ``hqp bench --json`` wrote.

    Raises:
        Damaged: the file is cut off, of another schema, or no results.
        HqpError: there is no such file.
    """
    return documents.read(path, Results, RESULTS_FIX)


def update(
    results: Path, root: Path, files: Path | None = None, store: Path = Path(".hqp"), again: Path | None = None
) -> tuple[str, ...]:
    """Makes a run's measurements the baselines of its suite, and says in which files they stand.

    ``again`` are the results of another run, by default of that before, which must agree. The artefacts are copied from
    the store to ``files``, by default below ``root``, so that they can be rerun beside later ones on any machine.

    Raises:
        HqpError: there is no other run, or it does not agree; a stored baseline has cases that the run did not measure,
            since a partial run replaces no whole one; the store does not hold an artefact of the run.
    """
    read = read_results(results)
    _require_agreement(read, results, again or before_path_of(store, read.suite))
    for new in baselines.from_results(read):
        stored = baselines.find(root, new.device, new.environment, new.suite)
        lost = [str(entry.case) for entry in stored.entries if new.entry(entry.case) is None] if stored else []
        if lost:
            place = baselines.path_of(root, new.device, new.environment, new.suite)
            raise HqpError(f"{results} lacks {', '.join(lost)} of the baseline {place}", "a run of the whole suite")
    kept = _artefacts(read, Store(store))
    copied = [_copied(sha256, file, files or root / baselines.FILES) for sha256, file in kept.items()]
    return tuple(str(path) for path in (*baselines.update(root, read), *copied))


def _require_agreement(read: Results, results: Path, again: Path) -> None:
    if not again.is_file():
        raise HqpError(
            f"one run is no baseline, and there is no second one at {again}", "two runs that agree", read.command
        )
    apart = disagreements(read, read_results(again))
    if apart:
        raise HqpError(f"{results} and {again} do not agree: {'; '.join(apart)}", "two runs that do", read.command)


def _artefacts(read: Results, store: Store) -> dict[str, Path]:
    """The stored file of each artefact of a run, by digest."""
    kept = {}
    for measurement in read.measurements:
        sha256 = measurement.sidecar.file.sha256
        file = store.kept(sha256)
        if file is None:
            raise HqpError(
                f"the artefact of {measurement.case} ({sha256[:12]}) is not in {store.root}",
                "the store of the run, which keeps it",
                "--store DIR, or run the suite again",
            )
        kept[sha256] = file
    return kept


def _copied(sha256: str, file: Path, folder: Path) -> Path:
    place = folder / baselines.file_name(sha256)
    if fault_of_file(place, sha256) is not None:
        documents.write_bytes(place, file.read_bytes())
    return place


def changed_since(revision: str, root: Path) -> tuple[Difference, ...]:
    """What differs between the baselines of a revision of the repository and those that stand there now, by case.

    Raises:
        HqpError: git knows no such revision; a baseline of it, or of now, is damaged.
        Incomparable: a baseline's environment was edited.
    """
    now = {str(path.relative_to(root)): path for path in sorted(root.glob("*/*/**/*.json"))}
    listed = _git(root, "ls-tree", "-r", "--name-only", "--end-of-options", revision)
    before = [name for name in listed.splitlines() if name.endswith(".json")]
    found: list[Difference] = []
    for name in dict.fromkeys((*before, *now)):
        old = _at(revision, root, name) if name in before else None
        new = baselines.read(now[name]) if name in now else None
        found += baselines.diff(old, new) if old and new else baselines.changes(old, new)
    return tuple(found)


def _at(revision: str, root: Path, name: str) -> Baseline:
    text = _git(root, "show", "--end-of-options", f"{revision}:./{name}")
    return documents.from_json(text, Baseline, f"{name} of {revision}", "another revision")


def _git(root: Path, *words: str) -> str:
    return transport.run(["git", "-C", str(root), *words], timeout_s=GIT_S).stdout


def diff(results: Path, root: Path) -> tuple[Difference, ...]:
    """What differs between the stored baselines and a run, case by case.

    Raises:
        Incomparable: the suite's baselines are of other environments; lists the keys in which the nearest differs.
        HqpError: the suite has no baseline on one of the devices.
    """
    measured = baselines.from_results(read_results(results))
    fix = command(*baselines.UPDATE.split(), results)
    return tuple(one for new in measured for one in baselines.diff(_stored(new, root, fix), new))


def _stored(new: Baseline, root: Path, fix: str) -> Baseline:
    found = baselines.find(root, new.device, new.environment, new.suite)
    if found is not None:
        return found
    others = baselines.others(root, new.device, new.suite)
    if not others:
        raise HqpError(f"suite {new.suite} has no baseline on {new.device} in {root}", fix=fix)
    keys = min((other.environment.differences(new.environment) for other in others), key=len)
    raise Incomparable(
        f"{root} holds {new.suite} on {new.device} of another environment only ({'; '.join(keys)})", fix=fix
    )
