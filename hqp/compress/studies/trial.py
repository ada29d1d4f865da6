"""Whether the engine takes a network: with random weights, a tenth of its filters removed, recovered and exported."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import ceil
from pathlib import Path

import torch
from torch import Tensor, nn

from hqp.compress.channels import finding, groups, recover
from hqp.compress.exporting import count, export
from hqp.compress.job import Criterion
from hqp.compress.network import contract, plain, usage
from hqp.compress.ranking import collect, steps
from hqp.compress.ranking.sensitivity import sensitivities
from hqp.errors import HqpError
from hqp.records import Group

CLASSES = 10
IMAGES = 2
LEAST_REMOVED = 0.1  # of all filters


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


def trial(build: Callable[[int], nn.Module], input_size: int, score: Criterion) -> Trial:
    """What becomes of the network that ``build`` makes for ten classes, whose random weights are always the same.

    It passes when the tenth of its filters that ``score`` puts first is gone, physically, the layers behind are
    refitted, and the exported file gives what the pruned module gives, in a row of logits of the right length.
    """
    start = time.perf_counter()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = plain.plain(contract.module(build, CLASSES, input_size))
        images = torch.randn(IMAGES, 3, input_size, input_size)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    # What is known of a network that is refused before the layers that it uses are known.
    filters = sum(groups.sizes(network).values())
    found: tuple[Group, ...] = ()
    removed, reason = 0, None
    try:
        usage.leave_out_unused(network, input_size)
        filters = sum(groups.filters(network, images[:1]).values())
        found = finding.find_groups(network, images[:1])
        smaller, removed = _pruned(network, images, found, score, filters)
        del network  # a large one and its file fill the memory
        _export(smaller, input_size)
    except HqpError as error:
        removed, reason = 0, str(error)
    if reason is None and removed < LEAST_REMOVED * filters:
        reason = f"{removed} of {filters} filters could go"
    return Trial(
        parameters=parameters,
        filters=filters,
        groups=len(found),
        removable=round(groups.filters_of(found) / filters, 4),
        removed=round(removed / filters, 4),
        reason=reason,
        seconds=round(time.perf_counter() - start, 1),
    )


def _pruned(
    network: nn.Module, images: Tensor, found: tuple[Group, ...], score: Criterion, filters: int
) -> tuple[nn.Module, int]:
    """The network without a tenth of its filters, the layers behind refitted, and how many are gone."""
    measured = sensitivities(network, [(images, torch.arange(len(images)))])
    collected = collect.collect(network, measured)
    scores = {group.name: score(group, collected) for group in found}
    ranking = steps.ranked(found, scores)
    removals = steps.steps(found, ranking, ceil(LEAST_REMOVED * filters))
    # Nothing is removed where no channel can go.
    removal = removals[0] if removals else {}
    smaller = groups.remove(network, removal, found)
    refitted = recover.losing(network, found)
    seen = recover.grams(network, refitted, [images])
    recover.refit(network, smaller, groups.removed(found, removal), seen)
    return smaller, groups.filters_removed(found, removal)


def _export(network: nn.Module, input_size: int) -> None:
    """Writes the file, which the export itself compares with the module, and counts its multiply-adds."""
    contract.require_classifier(network, input_size, CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.onnx"
        export.export(network, input_size, file)
        count.macs(file)
