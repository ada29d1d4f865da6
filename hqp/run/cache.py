"""``hqp cache``: what the store holds, whether it is whole, and what may go.

Nothing is taken from under a run: what any has used since it began stays, and so does what a baseline still names.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from hqp import baselines
from hqp.errors import HqpError
from hqp.records import is_digest
from hqp.store import FILES, NAME_LENGTH, RUNNING, STATES, discard, fault_of, fault_of_file, read_sealed

ENTRY = re.compile(f"[0-9a-f]{{{NAME_LENGTH}}}")

# The kind under which what killed runs left behind is listed.
UNFINISHED = "unfinished"

DAY_NS = 24 * 60 * 60 * 10**9


@dataclass(frozen=True)
class Kept:
    """One entry or file of a store, the bytes it takes, and when it was last used, in nanoseconds of the clock."""

    kind: str
    path: Path
    bytes: int
    used_ns: int


@dataclass(frozen=True)
class Kind:
    """All entries of a kind; the two ages are the days since the latest and the earliest of them was last used."""

    kind: str
    entries: int
    bytes: int
    least_days: float
    most_days: float


@dataclass(frozen=True)
class Fault:
    """What is wrong with an entry of the store."""

    path: str
    fault: str


@dataclass(frozen=True)
class Checked:
    """How many entries were checked, and which of them are damaged; those that a run is making were not."""

    entries: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Trimmed:
    """How many entries went, their bytes, and the bytes of those that are left."""

    entries: int
    bytes: int
    left_bytes: int


def listing(root: Path) -> tuple[Kind, ...]:
    """What a store holds, by kind."""
    by_kind: dict[str, list[Kept]] = {}
    for one in _all(root):
        by_kind.setdefault(one.kind, []).append(one)
    now_ns = time.time_ns()
    return tuple(_summed(kind, every, now_ns) for kind, every in sorted(by_kind.items()))


def _summed(kind: str, every: list[Kept], now_ns: int) -> Kind:
    days = [round((now_ns - one.used_ns) / DAY_NS, 3) for one in every]
    return Kind(kind, len(every), sum(one.bytes for one in every), min(days), max(days))


def check(root: Path) -> Checked:
    """Reads all that a store holds, and says what of it is not as it was written."""
    count, faults = 0, []
    for one in _all(root):
        if one.kind == UNFINISHED:
            continue
        try:
            with _lock(one.path):
                fault = _fault(one)
        except Timeout:
            continue
        count += 1
        if fault is not None:
            faults.append(Fault(str(one.path), fault))
    return Checked(count, tuple(faults))


def _fault(one: Kept) -> str | None:
    if one.kind == FILES:
        return fault_of_file(one.path, one.path.name)
    if one.kind == STATES:
        return f"{one.path.name} is not as it was written" if read_sealed(one.path) is None else None
    return fault_of(one.path)


def trim(root: Path, older_than_days: float | None, max_bytes: int | None, baselines_root: Path) -> Trimmed:
    """Removes what was not used for so many days and then, least lately used first, until at most so many bytes stay.

    What killed runs left behind goes too. What a run may still read, and what a baseline names, stays in any case.

    Raises:
        HqpError: neither limit is given.
        Damaged: a baseline cannot be read, so that nothing tells what it needs.
    """
    if older_than_days is None and max_bytes is None:
        raise HqpError("nothing says what may go", "--older-than DAYS, --max-bytes N, or both", "hqp cache trim --help")
    now_ns, needed = time.time_ns(), _needed(baselines_root)
    in_use_ns = min([now_ns, *_running(root)])
    oldest_ns = None if older_than_days is None else now_ns - older_than_days * DAY_NS

    least_lately_used_first = sorted(_all(root), key=lambda kept: kept.used_ns)
    left = sum(kept.bytes for kept in least_lately_used_first)
    removed = []
    for kept in least_lately_used_first:
        is_old = oldest_ns is not None and kept.used_ns < oldest_ns
        is_too_much = max_bytes is not None and left > max_bytes
        may_go = is_old or is_too_much or kept.kind == UNFINISHED
        if may_go and kept.path.name not in needed and _remove(kept.path, in_use_ns):
            removed.append(kept)
            left -= kept.bytes
    return Trimmed(len(removed), sum(kept.bytes for kept in removed), left)


def _needed(root: Path) -> set[str]:
    """The digests of the artefacts that baselines name."""
    stored = (baselines.read(path) for path in sorted(root.glob("*/*/**/*.json")))
    return {entry.model_sha256 for baseline in stored for entry in baseline.entries}


def _running(root: Path) -> Iterator[int]:
    """When each run began that is going on; what runs that were killed left to say so is removed."""
    for place in sorted((root / RUNNING).glob("*.lock")):
        try:
            with FileLock(place, timeout=0):
                place.unlink(missing_ok=True)
        except Timeout:
            yield int(place.name.partition("-")[0])


def _remove(path: Path, in_use_ns: int) -> bool:
    """Whether an entry could be removed: not one that was used since, or is being made."""
    try:
        with _lock(path):
            if not path.exists() or path.stat().st_mtime_ns >= in_use_ns:
                return False
            discard(path)
            return True
    except Timeout:
        return False


def _lock(path: Path) -> AbstractContextManager[object]:
    """The lock under which the store makes an entry, and checks it when a run first uses it; files need none."""
    return FileLock(path.with_suffix(".lock"), timeout=0) if path.is_dir() else nullcontext()


def _all(root: Path) -> Iterator[Kept]:
    """What a store holds, by folder and name."""
    for folder in _inside(root):
        for path in _inside(folder):
            kind = _kind(folder.name, path)
            if kind is not None:
                yield Kept(kind, path, _bytes(path), path.stat().st_mtime_ns)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _kind(folder: str, path: Path) -> str | None:
    """What a path below a folder of the store is; ``None`` for locks, results and whatever is not the store's."""
    if path.suffix == ".unfinished" or (folder in (FILES, STATES) and path.name.startswith(".")):
        return UNFINISHED
    belongs = {FILES: is_digest(path.name), STATES: path.suffix == ".pt"}
    return folder if belongs.get(folder, ENTRY.fullmatch(path.name) is not None) else None


def _bytes(path: Path) -> int:
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())
