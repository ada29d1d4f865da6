"""The directory that ``--out`` names: made whole or not at all, and never made of anything but an artefact's place."""

from __future__ import annotations

import filecmp
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from hqp import catalog, documents
from hqp.errors import HqpError, command
from hqp.records import Sidecar, Spent
from hqp.run.inputs import artifacts, policies


def require_usable(out: Path) -> None:
    """Sees, before minutes are spent, that an artefact can be put at ``out``: it is new, empty or holds an artefact.

    Raises:
        HqpError: it is a file, holds something else, or cannot be made or replaced.
    """
    place = out.resolve()
    if place == Path.cwd() or os.path.ismount(place):
        raise HqpError(f"{out} cannot be replaced as a whole", "a directory in it", command("--out", out / "artefact"))
    if place.exists() and not (place.is_dir() and {path.name for path in place.iterdir()} <= _may_hold()):
        raise HqpError(f"{out} exists and is no artefact", "a new directory", command("--out", f"{out}-2"))
    documents.require_place(place, command("--out", "DIR"))


def _may_hold() -> set[str]:
    """The names of what stands in the directory of an artefact: its files, and a folder for each export."""
    return {*artifacts.FILES, *catalog.names("exports")}


def _files(folder: Path) -> list[str]:
    """The files of an artefact and its exports, without what the store keeps beside them."""
    files = (file.relative_to(folder) for file in folder.rglob("*") if file.is_file())
    return sorted(file.as_posix() for file in files if file.parts[0] in _may_hold())


def is_taken(out: Path) -> bool:
    """Whether something is at ``out`` already."""
    return out.is_dir() and any(out.iterdir())


def is_same(made: Path, out: Path) -> bool:
    """Whether ``out`` holds the artefact in the directory ``made``: the same to the byte, but for what it cost.

    How often its images had certified before is of the store that it was made in, and no part of it.
    """
    files = _files(made)
    compared = [file for file in files if Path(file).name not in (artifacts.SIDECAR, artifacts.POLICY)]
    equal, _, _ = filecmp.cmpfiles(made, out, compared, shallow=False)
    alike = files == _files(out) and len(equal) == len(compared)
    return alike and _sidecars_agree(made, out) and _policies_agree(made, out)


def _sidecars_agree(made: Path, out: Path) -> bool:
    if filecmp.cmp(made / artifacts.SIDECAR, out / artifacts.SIDECAR, shallow=False):
        return True
    try:
        one, other = (artifacts.read(folder).sidecar for folder in (made, out))
    except HqpError:
        return False
    return _timeless(one) == _timeless(other)


def _policies_agree(made: Path, out: Path) -> bool:
    """Whether both have one policy, or none; the times that led to it are of when they were measured."""
    mine, theirs = made / artifacts.POLICY, out / artifacts.POLICY
    if not mine.exists() or filecmp.cmp(mine, theirs, shallow=False):
        return True
    try:
        one, other = policies.read(mine), policies.read(theirs)
    except HqpError:
        return False
    return replace(one, why={}) == replace(other, why={})


def _timeless(sidecar: Sidecar) -> Sidecar:
    """The sidecar without what depends on when it was made."""
    first = replace(sidecar.certificate, use=1, spent_before=0.0) if sidecar.certificate else None
    choices = replace(sidecar.choices, precisions=None, dense=None)
    return replace(sidecar, spent=Spent(steps=(), qat=None), certificate=first, choices=choices)


def deliver(made: Path, out: Path, *, force: bool) -> None:
    """Copies the artefact in the directory ``made`` to ``out``, in place of another one only by ``force``.

    Raises:
        HqpError: another run has put another artefact there meanwhile.
    """
    place = out.resolve()
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=f".{place.name}.") as folder:
        whole, before = Path(folder, "whole"), Path(folder, "before")
        whole.mkdir()
        for name in _files(made):
            (whole / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(made / name, whole / name)
        try:
            if force and place.exists():
                os.replace(place, before)
            os.replace(whole, place)
        except OSError:
            if not is_taken(place):
                raise
            if not is_same(made, place):
                kept = f"this artefact is kept in {made.parents[1]}, from where a new directory gets it in a moment"
                raise HqpError(f"another run wrote {out} meanwhile", kept, command("--out", f"{out}-2")) from None
        finally:
            if before.exists() and not place.exists():
                os.replace(before, place)
