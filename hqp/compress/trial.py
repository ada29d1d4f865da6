"""Whether the engine takes a network: with random weights, a tenth of its filters removed, exported and compared."""

from __future__ import annotations

import random
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from hqp.compress import contract, export, groups, plain
from hqp.errors import HqpError
from hqp.records import Group

CLASSES = 10
LEAST_REMOVED = 0.1  # of all filters

# Shares of each group's channels to remove, until a tenth of all filters are gone: some networks let few channels go.
SHARES = (0.125, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Trial:
    """What became of a network; ``reason`` says why it did not pass, and is ``None`` where it did.

    ``removable`` and ``removed`` are shares of all ``filters``.
    """

    parameters: int
    filters: int
    groups: int
    removable: float
    removed: float
    reason: str | None
    seconds: float


def trial(build: Callable[[int], nn.Module], input_size: int) -> Trial:
    """What becomes of the network that ``build`` makes for ten classes, whose random weights are always the same.

    It passes when a tenth of its filters are gone, physically, and the exported file gives what the pruned module
    gives, in a row of logits of the right length.
    """
    start = time.perf_counter()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = plain.plain(build(CLASSES).eval())
    filters = sum(groups.filters(network).values())
    found: tuple[Group, ...] = ()
    removed, reason = 0, None
    try:
        found = groups.find_groups(network, torch.zeros(1, 3, input_size, input_size))
        removed = _pruned_and_exported(network, input_size, found, filters)
    except HqpError as error:
        reason = str(error)
    if reason is None and removed < LEAST_REMOVED * filters:
        reason = f"{removed} of {filters} filters could go"
    removable = groups.filters_of(found)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    shares = round(removable / filters, 4), round(removed / filters, 4)
    seconds = round(time.perf_counter() - start, 1)
    return Trial(parameters, filters, len(found), *shares, reason, seconds)


def _pruned_and_exported(network: nn.Module, size: int, found: Sequence[Group], filters: int) -> int:
    """How many filters were removed; the export itself compares the file with the module."""
    removed, chosen = 0, dict[str, list[int]]()
    for share in SHARES:
        draw = random.Random(0)
        counts = {group.name: min(group.channels - 1, round(share * group.channels)) for group in found}
        chosen = {group.name: draw.sample(range(group.channels), counts[group.name]) for group in found}
        removed = sum(group.filters(channel) for group in found for channel in chosen[group.name])
        if removed >= LEAST_REMOVED * filters:
            break
    smaller = groups.remove(network, torch.zeros(1, 3, size, size), chosen, found)
    contract.require_classifier(smaller, size, CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        export.export(smaller, size, Path(folder) / "model.onnx")
    return removed
