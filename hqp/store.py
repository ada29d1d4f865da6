"""Content-addressed entries under ``.hqp/``: made once, whole or absent, safe for two processes, never believed unseen.

An entry is a directory named by the digest of the request that it answers, with a manifest of its files' digests. It is
built beside its place and renamed into it, under a lock: a reader never sees half of one, a killed run loses only the
step it was in, and a second run that wants the same entry waits for the first and takes its result.

A process checks an entry when it first uses it, and again where a file's size, time or inode is no longer what it saw:
that reads each file once, about a second for a gigabyte. What is damaged is made anew, and the user is told.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from hqp import documents
from hqp.errors import HqpError
from hqp.ledger import Ledger
from hqp.records import SCHEMA_VERSION, Cost, Digest, digest_of, is_digest

Record = TypeVar("Record")

# Long enough that no two entries of one store share it, short enough for paths on every system.
NAME_LENGTH = 24

MANIFEST, RECORD, COSTS = "entry.json", "record.json", "costs.json"
FILES, STATES, RUNNING = "files", "train", "running"


@dataclass(frozen=True)
class Manifest:
    """What an entry is: the request that it answers, by digest, and the files that answer it."""

    schema_version: int
    kind: str
    request: Digest
    files: dict[str, Digest]


@dataclass(frozen=True)
class Costs:
    """What it took to make an entry, by step, as a file of the entry has it."""

    costs: tuple[Cost, ...]


@dataclass(frozen=True)
class Entry:
    """The folder of an entry, and what it took to make it, by step."""

    folder: Path
    costs: tuple[Cost, ...]


# What tells that a file was written to: its size, its time in nanoseconds, its inode.
Stamp = tuple[int, int, int]


def sha256_of(path: Path) -> Digest:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def fault_of(entry: Path) -> str | None:
    """What is wrong with an entry; ``None`` where it is the entry of its place and each file is as it was written."""
    try:
        manifest = documents.read(entry / MANIFEST, Manifest, fix="")
    except HqpError as error:
        return error.wrong
    if (manifest.kind, manifest.request[:NAME_LENGTH]) != (entry.parent.name, entry.name):
        return f"it is the entry {manifest.kind}/{manifest.request[:NAME_LENGTH]}"
    faults = (fault_of_file(entry / name, digest) for name, digest in manifest.files.items())
    return next((fault for fault in faults if fault), None)


def fault_of_file(file: Path, digest: Digest) -> str | None:
    """What is wrong with a file that was written with this digest; ``None`` where nothing is."""
    try:
        return None if sha256_of(file) == digest else f"{file.name} is not as it was written"
    except OSError as error:
        return f"{file.name} cannot be read ({error.strerror})"


def write_sealed(file: Path, content: bytes) -> None:
    """Writes a file that begins with the digest of its content, and is at every moment the old one or the new one."""
    documents.write_bytes(file, hashlib.sha256(content).digest() + content)


def read_sealed(file: Path) -> bytes | None:
    """The content of a file that ``write_sealed`` wrote; ``None`` where it is not as it was written.

    Raises:
        FileNotFoundError: there is no such file.
    """
    whole = file.read_bytes()
    seal, content = whole[: hashlib.sha256().digest_size], whole[hashlib.sha256().digest_size :]
    return content if hashlib.sha256(content).digest() == seal else None


def _print_to_stderr(line: str) -> None:
    print(line, file=sys.stderr)


class Store:
    """Entries of many kinds under one folder; constructing it touches nothing. ``say`` shows the user a line."""

    def __init__(self, root: Path, say: Callable[[str], None] = _print_to_stderr) -> None:
        self.root, self.say = root, say
        self._seen: dict[Path, dict[Path, Stamp | None]] = {}
        self._running = False

    def path(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Where the entry of a kind and a key stands, whether or not it does yet."""
        return self.root / kind / _request(key)[:NAME_LENGTH]

    def make(self, kind: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The entry's directory; ``build`` fills it where it does not exist yet, or is damaged.

        ``key`` is a JSON object that names everything the entry depends on.
        """
        place = self.path(kind, key)
        if self._is_as_seen(place):
            return place
        self._announce()
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            if not self._is_whole(place):
                self._build(place, _request(key), build)
            _note_use(place)
            self._see(place)
        return place

    def _is_as_seen(self, place: Path) -> bool:
        """Whether this process has checked the entry, and its files were not written to since."""
        seen = self._seen.get(place)
        return seen is not None and all(stamp is not None and _stamp(file) == stamp for file, stamp in seen.items())

    def _see(self, place: Path) -> None:
        self._seen[place] = {file: _stamp(file) for file in place.rglob("*") if file.is_file()}

    def _is_whole(self, place: Path) -> bool:
        if not place.exists():
            return False
        fault = fault_of(place)
        if fault is not None:
            self.say(f"{place} is damaged ({fault}); it is made anew")
        return fault is None

    @staticmethod
    def _build(place: Path, request: Digest, build: Callable[[Path], None]) -> None:
        # The lock is held, so what stands at this name was left by a killed run.
        unfinished = place.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            with documents.naming(place):
                build(unfinished)
            written = sorted(file for file in unfinished.rglob("*") if file.is_file())
            files = {file.relative_to(unfinished).as_posix(): sha256_of(file) for file in written}
            documents.write(unfinished / MANIFEST, Manifest(SCHEMA_VERSION, place.parent.name, request, files))
            discard(place)
            os.replace(unfinished, place)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def record(self, kind: str, key: Mapping[str, Any], of: type[Record], compute: Callable[[], Record]) -> Record:
        """The record kept under a key; ``compute`` makes it where there is none yet, or one of another form."""

        def build(folder: Path) -> None:
            documents.write(folder / RECORD, compute())

        place = self.make(kind, {**key, "form": documents.form(of)}, build)
        return self.read(place / RECORD, of)

    def costed(self, kind: str, key: Mapping[str, Any], build: Callable[[Path, Ledger], object]) -> Entry:
        """As ``make``, with what the entry took when it was made, now or long ago; ``build`` enters it in a ledger."""

        def counted(folder: Path) -> None:
            ledger = Ledger()
            build(folder, ledger)
            documents.write(folder / COSTS, Costs(ledger.costs))

        place = self.make(kind, key, counted)
        return Entry(place, self.read(place / COSTS, Costs).costs)

    def costed_record(
        self, kind: str, key: Mapping[str, Any], of: type[Record], compute: Callable[[Ledger], Record]
    ) -> tuple[Record, Entry]:
        """As ``record``, with the entry that keeps the record and what it took."""

        def build(folder: Path, ledger: Ledger) -> None:
            documents.write(folder / RECORD, compute(ledger))

        entry = self.costed(kind, {**key, "form": documents.form(of)}, build)
        return self.read(entry.folder / RECORD, of), entry

    @staticmethod
    def read(file: Path, of: type[Record]) -> Record:
        """The record in a file of an entry."""
        return documents.read(file, of, fix="the same command again, which makes it anew")

    def keep(self, file: Path, sha256: Digest) -> Path:
        """A copy of a file under its own digest, until it is trimmed."""
        place = self._kept(sha256)
        if fault_of_file(place, sha256):
            documents.write_bytes(place, file.read_bytes())
        _note_use(place)
        return place

    def kept(self, sha256: Digest) -> Path | None:
        """The file of a digest, or ``None`` where it was never kept or is damaged, which the user is told."""
        place = self._kept(sha256)
        if not place.exists():
            return None
        fault = fault_of_file(place, sha256)
        if fault is not None:
            self.say(f"{place} is damaged ({fault}); it is not used")
            return None
        _note_use(place)
        return place

    def _kept(self, sha256: Digest) -> Path:
        if not is_digest(sha256):
            raise HqpError(f"{sha256!r} is no digest", "64 hexadecimal digits")
        return self.root / FILES / sha256

    def _announce(self) -> None:
        """Lets `hqp cache trim` see that from now on a process uses entries of this store, for as long as it lives."""
        if self._running:
            return
        folder = self.root / RUNNING
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / f"{time.time_ns()}-{os.getpid()}-{id(self)}.lock")
        lock.acquire()
        weakref.finalize(self, _end, lock)
        self._running = True


def _note_use(place: Path) -> None:
    # Of the clock that names runs: the file system's own lags behind it by some milliseconds.
    os.utime(place, ns=(time.time_ns(),) * 2)


def _end(lock: FileLock) -> None:
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)


def _request(key: Mapping[str, Any]) -> Digest:
    return digest_of({"schema": SCHEMA_VERSION, **key})


def _stamp(file: Path) -> Stamp | None:
    try:
        known = file.stat()
    except OSError:
        return None
    return known.st_size, known.st_mtime_ns, known.st_ino


def discard(place: Path) -> None:
    """Removes an entry or a file of the store, if there is one."""
    if place.is_dir() and not place.is_symlink():
        shutil.rmtree(place)
    else:
        place.unlink(missing_ok=True)
