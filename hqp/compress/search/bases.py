"""What channels are taken from: the trained model, or what it is with something simpler in the place of some blocks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from hqp.compress.blocks import standing_in
from hqp.compress.channels import finding, groups
from hqp.compress.job import Job
from hqp.compress.network import weights
from hqp.compress.search import replacing
from hqp.ledger import Ledger
from hqp.records import Group, Replaced

Blocks = tuple[Replaced, ...]

# Makes an entry of the store, by its kind and key, and gives its folder.
Entry = Callable[[str, Mapping[str, Any], Callable[[Path, Ledger], object]], Path]

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Channels:
    """The groups of channels that were found, those of them that may go, and which layers are held whole, and why."""

    found: tuple[Group, ...] = ()
    groups: tuple[Group, ...] = ()
    held: tuple[str, ...] = ()


class Bases:
    """The networks that channels are taken from, and the channels of each."""

    def __init__(self, job: Job, entry: Entry) -> None:
        self._job, self._entry = job, entry
        # Networks are large: the last is kept.
        self._last: tuple[Blocks, nn.Module] | None = None
        self._channels: dict[Blocks, Channels] = {}

    def network(self, replaced: Blocks) -> nn.Module:
        """The trained model with something simpler in the place of these blocks, fitted."""
        if not replaced:
            return self._job.model
        if self._last is None or self._last[0] != replaced:
            simpler = standing_in.without(self._job.model, replaced)
            self._last = replaced, weights.filled(simpler, self._weights(replaced))
        return self._last[1]

    def _weights(self, replaced: Blocks) -> Path:
        def build(folder: Path, ledger: Ledger) -> None:
            weights.write(folder / WEIGHTS, replacing.simplified(self._job, replaced, ledger).state_dict())

        key = {**self._job.key, "replaced": [asdict(block) for block in replaced]}
        return self._entry("simplified", key, build) / WEIGHTS

    def channels(self, replaced: Blocks) -> Channels:
        """Which channels of a network may go: none where the recipe does not prune."""
        pruning = self._job.recipe.pruning
        if pruning is None:
            return Channels()
        if replaced not in self._channels:
            held: list[str] = []
            network = self.network(replaced)
            found = finding.find_groups(network, self._job.example, held.append)
            left = groups.without(found, pruning.keep, self._job.model)
            self._channels[replaced] = Channels(found, left, tuple(held))
        return self._channels[replaced]
