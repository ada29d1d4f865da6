"""What an interrupted training goes on from: a file with all that the next epoch needs, and the digest of it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hqp.records import Digest, digest_of
from hqp.store import read_sealed, write_sealed


def save(path: Path, training: Digest, epochs_done: int, seconds: float, model: nn.Module, optimizer: Any) -> None:
    """Puts the state of a training in place of the last one, whole or not at all."""
    content = {
        "name": _name(training, model),
        "epochs_done": epochs_done,
        "seconds": seconds,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    written = io.BytesIO()
    torch.save(content, written)
    write_sealed(path, written.getvalue())


def restore(
    path: Path, training: Digest, model: nn.Module, optimizer: Any, say: Callable[[str], None]
) -> tuple[int, float]:
    """How many epochs are done and the seconds they took; model and optimizer are as they were after them.

    Without a file none is done, nor with one that is damaged or of another training, which ``say`` is told.
    """
    if not path.exists():
        return 0, 0.0
    whole = read_sealed(path)
    if whole is None:
        say(f"{path} is damaged; the training starts anew")
        return 0, 0.0
    device = next(model.parameters()).device
    content = torch.load(io.BytesIO(whole), map_location=device, weights_only=True)
    if content["name"] != _name(training, model):
        say(f"{path} is the state of another training; this one starts anew")
        return 0, 0.0
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return content["epochs_done"], content["seconds"]


def _name(training: Digest, model: nn.Module) -> Digest:
    """What names a training of a model: a changed architecture is another training."""
    shapes = {name: list(values.shape) for name, values in model.state_dict().items()}
    return digest_of([training, shapes])
