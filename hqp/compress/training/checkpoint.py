"""A checkpoint that HQP trained, as two files: its weights in half precision, and the card that says what they are."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from hqp import documents
from hqp.compress.network import weight_files, weights
from hqp.compress.training import TrainingRecipe
from hqp.errors import Damaged, HqpError, command
from hqp.records import SCHEMA_VERSION, Digest


@dataclass(frozen=True)
class Score:
    """How many of the first ``total`` images of a split were put into their class."""

    correct: int
    total: int


@dataclass(frozen=True)
class Card:
    """What a checkpoint is, how it came to be, and what it scores.

    ``accuracy`` holds float32 counts of the rounded weights at ``input_size`` in pixels; where a split has more images
    than were counted, the first were. ``seconds`` is the time in training alone, ``None`` where a part of it was not
    measured. ``sha256`` is of the weights' file, ``started_from`` of those that the training began with, ``None`` where
    they were random.
    """

    model: str
    dataset: str
    num_classes: int
    input_size: int
    parameters: int
    accuracy: Mapping[str, Score]
    split_digests: Mapping[str, Digest]
    recipe: TrainingRecipe
    seed: int
    versions: Mapping[str, str]
    machine: Mapping[str, str | int]
    seconds: float | None
    date: str
    sha256: Digest
    started_from: Digest | None = None
    schema_version: int = SCHEMA_VERSION


def rounded(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors on the CPU with every float in half precision.

    Raises:
        HqpError: a weight is beyond half precision's range.
    """
    half = {}
    for name, value in state.items():
        value = value.detach().cpu()
        half[name] = value.half().contiguous() if value.is_floating_point() else value.contiguous()
        if not bool(torch.isfinite(half[name]).all()):
            raise HqpError(f"'{name}' does not fit half precision", "finite weights below 65504")
    return half


def write_weights(path: Path, state: Mapping[str, Tensor]) -> str:
    """The SHA-256 of the file; it is written whole or not at all, and the same weights give the same bytes."""
    from safetensors.torch import save

    content = save(rounded(state))
    documents.write_bytes(path, content)
    return hashlib.sha256(content).hexdigest()


def read_weights(path: Path, model: nn.Module, sha256: str) -> nn.Module:
    """The model with the file's weights, in float32 and evaluation mode.

    Raises:
        HqpError: there is no such file, or it is of another architecture.
        Damaged: its SHA-256 is not the card's.
    """
    state = weight_files.read(path)
    if hashlib.sha256(path.read_bytes()).hexdigest() != sha256:
        fix = command("git", "checkout", path)
        raise Damaged(f"{path} is not the file its card describes", f"SHA-256 {sha256[:12]}...", fix)
    weights.fill(model, state, str(path))
    return model.float().eval()
