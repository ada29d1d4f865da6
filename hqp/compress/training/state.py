"""The state of a training after an epoch, from which a killed one goes on."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from hqp.errors import Damaged


def save(path: Path, progress: dict[str, Any], model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Puts the state in place of the last one, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    content = {**progress, "model": model.state_dict(), "optimizer": optimizer.state_dict()}
    try:
        torch.save(content, fresh)
        os.replace(fresh, path)
    finally:
        fresh.unlink(missing_ok=True)


def restore(path: Path | None, name: str, model: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[int, float]:
    """How many epochs are already done and the seconds they took; model and optimizer are as they were after them."""
    if path is None or not path.exists():
        return 0, 0.0
    try:
        content = torch.load(path, map_location=next(model.parameters()).device, weights_only=True)
        found, epochs_done, seconds = content["name"], int(content["epochs_done"]), float(content["seconds"])
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError, ValueError, KeyError, TypeError) as error:
        reason = str(error).partition("\n")[0]
        raise Damaged(f"{path} is damaged or cut off ({reason})", "the state of a training", f"rm '{path}'") from None
    if found != name:
        raise Damaged(f"{path} is the state of another training", "one recipe, seed and dataset", f"rm '{path}'")
    model.load_state_dict(content["model"])
    optimizer.load_state_dict(content["optimizer"])
    return epochs_done, seconds
