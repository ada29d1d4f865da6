"""Artefact directories: ``model.onnx``, the sidecar ``hqp.json``, the per-layer record ``layers.json``, and weights.

``weights.safetensors`` are those of the pruned network before it was quantised, and ``policy.json`` the precision of
each layer where it was.
"""

from __future__ import annotations

from pathlib import Path

from hqp import documents
from hqp.errors import Damaged, HqpError, command
from hqp.records import Artifact, LayerRecord, Sidecar
from hqp.store import sha256_of

MODEL, SIDECAR, LAYERS, WEIGHTS = "model.onnx", "hqp.json", "layers.json", "weights.safetensors"
# Only beside a file that is quantised.
POLICY = "policy.json"
FILES = (MODEL, SIDECAR, LAYERS, WEIGHTS, POLICY)

# What makes an artefact anew that is none.
FIX = "hqp compress MODEL --method hqp --out DIR"


def below(folder: Path, device: str) -> tuple[Path, ...]:
    """The directories of artefacts that a path stands for: itself, or those under a folder named like the device."""
    found = tuple(sorted(sidecar.parent for sidecar in (folder / device).glob(f"*/{SIDECAR}")))
    return found or (folder,)


def read(folder: Path) -> Artifact:
    """The artefact in a directory.

    Raises:
        HqpError: there is none, or a file of it was named.
        Damaged: the sidecar is cut off, or the model is not the one it describes.
    """
    if folder.is_file():
        raise HqpError(f"{folder} is a file of an artefact", "the artefact's directory", command(folder.parent))
    sidecar = documents.read(folder / SIDECAR, Sidecar, FIX)
    model = folder / MODEL
    if not model.is_file() or sha256_of(model) != sidecar.file.sha256:
        raise Damaged(f"{model} is not the file that {SIDECAR} describes", "an artefact as it was written", FIX)
    return Artifact(str(folder), sidecar)


def layers(folder: Path) -> tuple[LayerRecord, ...]:
    """The per-layer record of an artefact.

    Raises:
        Damaged: it is cut off, or no such record.
        HqpError: there is none.
    """
    return documents.read(folder / LAYERS, tuple[LayerRecord, ...], FIX)
