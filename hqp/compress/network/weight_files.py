"""Weight files: of what kind each is by its content, and which state dict of a checkpoint is taken; never code."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hqp.errors import Damaged, HqpError

WRITES = "torch.save(model.state_dict(), 'weights.pt')"
WANTED = "a state dict or safetensors"

# How files begin that torch writes, as an archive or (before 1.6, or by pickle itself) as a pickle.
ARCHIVE, PICKLE = b"PK\x03\x04", b"\x80"

# What else lies under the names of weight files, by how it begins, and what to do about it. An ONNX file begins with
# the version of its format and the tag of the next field.
OTHERS = {
    rb"version https://git-lfs": ("a pointer of Git LFS, not the file itself", "git lfs pull"),
    rb"\x89HDF": ("HDF5, as Keras writes it", WRITES),
    rb"\x93NUMPY": ("a NumPy array", WRITES),
    rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]": ("an ONNX file, and HQP prunes modules of torch", WRITES),
}

# Of a safetensors file: the bytes that say how long its header is, and how the header begins.
LENGTH, HEADER = 8, b"{"


def read(path: Path, entry: str = "") -> dict[str, Tensor]:
    """The tensors in a weight file by name: safetensors, or a state dict saved by torch, alone or in a checkpoint.

    ``entry`` names the checkpoint's state dict, where it has several.

    Raises:
        HqpError: there is no such file or entry, it is a pickle that holds code, or it holds something else.
        Damaged: it is cut off, or no weight file.
    """
    if not path.is_file():
        raise HqpError(f"there is no weight file {path}", fix="hqp train MODEL --dataset DATASET")
    return _chosen(_content(path), path, entry)


def _content(path: Path) -> Any:
    with path.open("rb") as file:
        head = file.read(64)
    if not head:
        raise Damaged(f"{path} is empty", WANTED, WRITES)
    if head[LENGTH:].startswith(HEADER):
        return _safetensors(path)
    if head.startswith((ARCHIVE, PICKLE)):
        return _saved_by_torch(path)
    for start, (kind, fix) in OTHERS.items():
        if re.match(start, head):
            raise HqpError(f"{path} is {kind}", WANTED, fix)
    raise Damaged(f"{path} is damaged or no weight file (it begins with {head[:12]!r})", WANTED, WRITES)


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise _damaged(path, error) from None


def _saved_by_torch(path: Path) -> Any:
    if _is_torchscript(path):
        raise HqpError(
            f"{path} is TorchScript, which holds code, and HQP runs no code from files",
            WANTED,
            f"torch.save(torch.jit.load('{path}').state_dict(), 'weights.pt')",
        )
    try:
        # Opened here, since torch takes a path's suffix for its content.
        with warnings.catch_warnings(), path.open("rb") as file:
            # Of unusual pickles torch warns before it refuses them; the refusal says it all.
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        raise HqpError(
            f"{path} is a pickle that holds more than tensors, and HQP runs no code from files", WANTED, WRITES
        ) from None
    except (RuntimeError, EOFError, OSError, ValueError, LookupError, AttributeError, TypeError) as error:
        raise _damaged(path, error) from None


def _is_torchscript(path: Path) -> bool:
    """Whether it is an archive with code in it, which torch would advise to run."""
    if not zipfile.is_zipfile(path):
        return False
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.endswith("/constants.pkl") or "/code/" in name for name in archive.namelist())
    except zipfile.BadZipFile:
        return False


def _damaged(path: Path, error: Exception) -> Damaged:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return Damaged(f"{path} is damaged or no weight file ({reason})", WANTED)


# --- which state dict ---------------------------------------------------------------------------------------------


def _chosen(content: object, path: Path, entry: str) -> dict[str, Tensor]:
    """The state dict that was asked for, or the only one there is."""
    entries = _state_dicts(content)
    if entry:
        if entry not in entries:
            there = f"its state dicts are {', '.join(entries)}" if entries else "it is no checkpoint of several entries"
            raise HqpError(f"{path} has no state dict '{entry}'", there)
        return _tensors(entries[entry], f"{path}:{entry}")
    if len(entries) > 1:
        raise HqpError(
            f"{path} holds {len(entries)} state dicts: {', '.join(entries)}",
            "one of them by name",
            f"--weights {path}:{next(reversed(entries))}",
        )
    for name, state in entries.items():
        return _tensors(state, f"{path}:{name}")
    return _tensors(content, str(path))


def _state_dicts(content: object) -> dict[str, Mapping[Any, Any]]:
    """The entries of a checkpoint that hold tensors by name."""
    if not isinstance(content, Mapping):
        return {}
    return {str(name): value for name, value in content.items() if _holds_tensors(value)}


def _holds_tensors(value: object) -> bool:
    return isinstance(value, Mapping) and any(isinstance(one, Tensor) for one in value.values())


def _tensors(state: object, where: str) -> dict[str, Tensor]:
    """A state dict that is one throughout.

    Raises:
        HqpError: it is something else; the message says what.
    """
    if not _holds_tensors(state):
        raise HqpError(f"{where} holds {_told(state)}", "names and tensors, or a checkpoint with such an entry", WRITES)
    assert isinstance(state, Mapping)
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise HqpError(f"{where} holds a state dict in which '{name}' is {_told(value)}", "tensors alone", WRITES)
    return {str(name): value for name, value in state.items()}


def _told(value: object) -> str:
    if isinstance(value, Mapping):
        return f"a dict of {', '.join(map(str, list(value)[:6])) or 'nothing'}"
    if isinstance(value, int | float | bool | str):
        return f"the {type(value).__name__} {value!r}"
    return type(value).__name__
