"""An artefact in other formats: written, read back, and compared with the artefact before it is called exported."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt

from hqp import catalog, documents
from hqp.errors import HqpError
from hqp.records import Artifact, Exported, Sidecar
from hqp.run.engine import code_digest
from hqp.run.inputs import artifacts
from hqp.store import MANIFEST, Store, sha256_of

Array = npt.NDArray[np.float32]

# The export that every artefact is.
OWN = "onnx"

# On so many images an export is compared with the artefact, and so it must agree: runtimes round differently, and an
# image of two hundred may lie between two classes.
IMAGES = 100
LEAST_AGREEMENT = 0.99
LEAST_COSINE = 0.999


def resolve(names: Sequence[str]) -> tuple[str, ...]:
    """The exports of these names, each once, without that which every artefact is.

    Raises:
        UnknownName: nothing answers to a name.
        NotInstalled: a package that one requires is missing.
    """
    for name in names:
        catalog.require("exports", name)
    return tuple(name for name in dict.fromkeys(names) if name != OWN)


def exported(store: Store, onnx_file: Path, name: str, images: Array | None = None) -> Path:
    """The file that a runtime opens of an export, which is made once and kept in the store.

    ``images``, (n, channels, height, width) and normalised, are for the exports that look at some.
    """
    if name == OWN:
        return onnx_file
    plugin = catalog.require("exports", name)
    key = {
        "model": sha256_of(onnx_file),
        "export": name,
        "code": code_digest(Path(str(plugin.__file__))),
        "versions": _versions(plugin),
    }
    shown: tuple[Array, ...] = ()
    if getattr(plugin, "looks_at_images", False) and images is not None:
        shown = (images,)
        key["images"] = hashlib.sha256(images.tobytes()).hexdigest()
    folder = store.make("exports", key, lambda folder: plugin.write(onnx_file, folder, *shown))
    return folder / str(plugin.opened)


def _versions(plugin: ModuleType) -> dict[str, str]:
    found = {}
    for package in plugin.requires:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # an import name that no distribution has
            continue
    return found


def with_exports(store: Store, made: Artifact, names: Sequence[str], logits: Array, images: Array) -> Path:
    """The folder of an artefact and its exports, each in a folder of its name, with the sidecar beside each.

    ``logits`` are what the artefact gives for ``images``.

    Raises:
        HqpError: an export does not agree with the artefact.
    """
    own = Path(made.path)
    files = {name: exported(store, own / artifacts.MODEL, name, images) for name in names}
    agreed = tuple(_agreed(made, name, file, logits, images) for name, file in files.items())
    sidecar = replace(made.sidecar, exports=agreed)
    folders = {name: file.parent for name, file in files.items()}
    key = {"artefact": sha256_of(own / artifacts.SIDECAR), "exports": documents.list_to_json(agreed)}
    return store.make("delivered", key, lambda folder: _put_together(folder, own, folders, sidecar))


def _put_together(folder: Path, own: Path, exports: Mapping[str, Path], sidecar: Sidecar) -> None:
    """Copies the artefact's own files and the folders of its exports, and writes the sidecar beside each."""
    for name in artifacts.FILES:
        if (own / name).is_file():
            shutil.copyfile(own / name, folder / name)
    _write_sidecar(folder, sidecar)
    for name, export in exports.items():
        shutil.copytree(export, folder / name, ignore=shutil.ignore_patterns(MANIFEST))
        _write_sidecar(folder / name, sidecar)


def _write_sidecar(folder: Path, sidecar: Sidecar) -> None:
    documents.write(folder / artifacts.SIDECAR, sidecar)


def _agreed(made: Artifact, name: str, file: Path, logits: Array, images: Array) -> Exported:
    plugin = catalog.require("exports", name)
    parts = sorted(part for part in file.parent.rglob("*") if part.is_file() and part.name != MANIFEST)
    digests = {part.relative_to(file.parent).as_posix(): sha256_of(part) for part in parts}
    if getattr(plugin, "runs_on", sys.platform) != sys.platform:
        return Exported(name, digests, 0, None, None)
    found = plugin.read_back(file, images)
    if found.shape != logits.shape:
        raise HqpError(
            f"export '{name}' gives outputs of shape {found.shape}", f"those of the artefact, {logits.shape}"
        )
    agreement, cosine = agreement_of(logits, found)
    if not (agreement >= LEAST_AGREEMENT and cosine >= LEAST_COSINE):
        raise HqpError(
            f"export '{name}' of {made.path} is another network: on {len(images)} images its top-1 agrees with"
            f" {artifacts.MODEL} on {agreement:.1%}, and the cosine of their outputs is {cosine:.4f}",
            f"at least {LEAST_AGREEMENT:.0%} and {LEAST_COSINE}",
        )
    return Exported(name, digests, len(images), agreement, cosine)


def agreement_of(exact: Array, found: Array) -> tuple[float, float]:
    """The share of images with one top-1, and the mean cosine of two files' logits, (n, classes)."""
    same = exact.argmax(axis=1) == found.argmax(axis=1)
    lengths = np.linalg.norm(exact, axis=1) * np.linalg.norm(found, axis=1)
    cosines = (exact * found).sum(axis=1) / np.where(lengths == 0, 1, lengths)
    # Two vectors of zeros have no direction, and are one.
    cosines[~exact.any(axis=1) & ~found.any(axis=1)] = 1
    return float(same.mean()), float(cosines.mean())
