"""How often the images of ``test`` have certified files of one checkpoint, and how much of the level that spent.

A certificate is wrong with a probability of at most its α. Whoever looks at several by the same images, and keeps the
one he likes, is wrong with the sum of theirs at most; so each use is written down before the images are looked at.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from filelock import FileLock

from hqp import documents
from hqp.records import Digest
from hqp.store import NAME_LENGTH, Store

FOLDER = "certifications"


@dataclass(frozen=True)
class Use:
    """One certification: what was asked for, by digest, and the α that it spent."""

    request: Digest
    alpha: float


@dataclass(frozen=True)
class Uses:
    """The certifications of a checkpoint by the same images, in the order in which they began."""

    SCHEMA: ClassVar[int] = 1

    schema_version: int
    checkpoint: Digest
    images: Digest
    uses: tuple[Use, ...]


@dataclass(frozen=True)
class Place:
    """Which use one is, counted from 1, and the α that those before it spent."""

    number: int
    before: float


def noted(store: Store, checkpoint: Digest, images: Digest, request: Digest, alpha: float) -> Place:
    """Writes a certification down, safe for two processes, and says which use of the images it is.

    The same request again is the same use: it gives the same file, and looks at nothing new.
    """
    file = path_of(store.root, checkpoint, images)
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_suffix(".lock")):
        uses = read(file) if file.exists() else ()
        numbers = [number for number, use in enumerate(uses) if use.request == request]
        if not numbers:
            numbers = [len(uses)]
            uses = (*uses, Use(request, alpha))
            documents.write(file, Uses(Uses.SCHEMA, checkpoint, images, uses))
    number = numbers[0]
    return Place(number + 1, sum(use.alpha for use in uses[:number]))


def read(file: Path) -> tuple[Use, ...]:
    """The certifications that a file lists.

    Raises:
        Damaged: it is cut off or edited into what is no such list.
    """
    return documents.read(file, Uses, fix="its copy of a backup; without it, uses are counted from 1 again").uses


def path_of(root: Path, checkpoint: Digest, images: Digest) -> Path:
    """Where the list of a checkpoint and the images stands."""
    return root / FOLDER / f"{checkpoint[:NAME_LENGTH]}-{images[:NAME_LENGTH]}.json"
