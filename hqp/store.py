"""Content-addressed artefacts under ``.hqp/``: made once, whole or absent, safe for two processes.

An entry is a directory named by the digest of what it was made from. It is built beside its place and renamed into it,
under a lock: a reader never sees half of one, a killed run loses only the step it was in, and a second run that wants
the same entry waits for the first and takes its result.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from hqp import documents
from hqp.errors import HqpError
from hqp.records import SCHEMA_VERSION, digest_of

Record = TypeVar("Record")

# Long enough that no two entries of one store share it, short enough for paths on every system.
NAME_LENGTH = 24


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


class Store:
    """Entries of many kinds under one folder; constructing it touches nothing."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, kind: str, key: Mapping[str, Any]) -> Path:
        """Where the entry of a kind and a key stands, whether or not it does yet."""
        return self.root / kind / digest_of({"schema": SCHEMA_VERSION, **key})[:NAME_LENGTH]

    def make(self, kind: str, key: Mapping[str, Any], build: Callable[[Path], None]) -> Path:
        """The entry's directory; ``build`` fills it where it does not exist yet.

        ``key`` is a JSON object that names everything the entry depends on.
        """
        place = self.path(kind, key)
        if place.is_dir():
            return place
        place.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(place.with_suffix(".lock")):
            if not place.is_dir():
                self._build(place, build)
        return place

    @staticmethod
    def _build(place: Path, build: Callable[[Path], None]) -> None:
        # The lock is held, so what stands at this name was left by a killed run.
        unfinished = place.with_suffix(".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            build(unfinished)
            os.replace(unfinished, place)
        except BaseException:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise

    def record(self, kind: str, key: Mapping[str, Any], of: type[Record], compute: Callable[[], Record]) -> Record:
        """The record kept under a key; ``compute`` makes it where there is none yet."""

        def build(folder: Path) -> None:
            documents.write(folder / "record.json", compute())

        place = self.make(kind, key, build)
        return documents.read(place / "record.json", of, fix=f"rm -r {place}")

    def keep(self, file: Path, sha256: str) -> Path:
        """A copy of a file under its own digest, for as long as the store stands."""
        place = self.root / "files" / sha256
        if not place.exists():
            documents.write_bytes(place, file.read_bytes())
        return place

    def kept(self, sha256: str) -> Path | None:
        """The file of a digest, or ``None`` where it was never kept.

        Raises:
            HqpError: the file was changed since.
        """
        place = self.root / "files" / sha256
        if not place.exists():
            return None
        if sha256_of(place) != sha256:
            raise HqpError(f"{place} is not what was stored under that digest", fix=f"rm {place}")
        return place
