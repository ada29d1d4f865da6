"""The pruned network as PyTorch has it: its weights, and beside them what was removed, of which it is built again.

A state dict alone fits no class: its tensors are smaller than those that the class makes. What went of each layer is
kept as text in the same safetensors file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn

from hqp import documents
from hqp.compress.blocks import standing_in
from hqp.compress.channels import groups
from hqp.compress.channels.groups import Removed
from hqp.compress.network import contract, plain, usage, weights
from hqp.compress.network.layers import give_biases
from hqp.errors import Damaged, HqpError
from hqp.records import Replaced

# Under which name the file holds the record.
RECORD = "hqp"


@dataclass(frozen=True)
class Pruning:
    """What was built, and which indices of it went, by layer and role: ``filter``, ``input`` or ``norm``.

    Before that something simpler came in the place of the blocks that were ``replaced``.
    """

    outputs: int
    input_size: int
    removed: dict[str, dict[str, tuple[int, ...]]]
    replaced: tuple[Replaced, ...] = ()


@torch.no_grad()
def write(path: Path, model: nn.Module, removed: Removed, example: Tensor, replaced: tuple[Replaced, ...] = ()) -> None:
    """Writes the weights of a pruned model with what was ``removed`` and ``replaced``; ``example`` is an input."""
    by_layer: dict[str, dict[str, tuple[int, ...]]] = {}
    for (layer, role), gone in sorted(removed.items()):
        if gone:
            by_layer.setdefault(layer, {})[role] = tuple(sorted(gone))
    record = Pruning(model(example).shape[1], example.shape[-1], by_layer, replaced)
    # One text, since safetensors keeps no order of several.
    weights.write(path, model.state_dict(), {RECORD: documents.to_json(record)})


def rebuilt(path: Path, build: Callable[[int], Any], fix: str) -> nn.Module:
    """The model that ``build`` makes for so many classes, without what was removed, with the weights of a file.

    It is in float32 and evaluation mode, its attention and computed weights as plain layers. ``fix`` makes the file.

    Raises:
        Damaged: the file is not one that ``write`` wrote.
        HqpError: ``build`` makes another network than the one that was pruned.
    """
    record, state = _read(path, fix)
    whole = plain.plain(contract.module(build, record.outputs, record.input_size))
    usage.leave_out_unused(whole, record.input_size)
    whole = standing_in.without(whole, record.replaced)
    absent = sorted(record.removed.keys() - groups.parts(whole).keys())
    if absent:
        raise HqpError(f"{path} is of another network: this one has no layer '{absent[0]}'", "the one that was pruned")
    removed: dict[tuple[str, str], frozenset[int]] = {}
    for layer, by_role in record.removed.items():
        removed |= {(layer, role): frozenset(gone) for role, gone in by_role.items()}
    smaller = groups.shrunk(whole, removed)
    give_biases(smaller, state)
    weights.fill(smaller, state, str(path))
    return smaller


def _read(path: Path, fix: str) -> tuple[Pruning, dict[str, Tensor]]:
    with safe_open(path, framework="pt") as file:
        told = (file.metadata() or {}).get(RECORD, "")
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    if not told:
        raise Damaged(f"{path} does not say what was removed", "the file of an artefact", fix)
    return documents.from_json(told, Pruning, f"the record in {path}", fix), state
