"""Whether the engine takes a network: every model of a list, with random weights, pruned and exported.

``python -m hqp.run.zoo small`` (or ``large``, or names of models) goes on where it was stopped; `nox -s zoo` calls it.
A model passes when at least a tenth of its filters are gone, physically, and the exported file gives what the pruned
module gives, in a row of logits of the right length. A refusal counts as a miss; anything else that is raised is a
defect.
"""

from __future__ import annotations

import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hqp import catalog
from hqp.errors import HqpError
from hqp.records import Group
from hqp.run.compress import engine_digest
from hqp.run.progress import Progress
from hqp.store import Store

LEAST_REMOVED = 0.1  # of all filters
CLASSES = 10
# Shares of each group's channels to remove, until a tenth of all filters are gone: some networks let few channels go.
SHARES = (0.125, 0.25, 0.5, 0.75)

# Above so many parameters a model counts as large.
LARGE_PARAMETERS = 30e6

TIMM = (
    "convnext_atto", "convnextv2_atto", "cspdarknet53", "cspresnet50", "darknet53", "densenet121", "dla34", "dpn68",
    "efficientnet_b0", "efficientnet_lite0", "efficientnetv2_rw_t", "edgenext_xx_small", "fbnetc_100",
    "fbnetv3_b", "gernet_s", "ghostnet_100", "hardcorenas_a", "hgnetv2_b0", "hrnet_w18_small", "inception_v3",
    "legacy_seresnet18", "lcnet_050", "mixnet_s", "mnasnet_small", "mobilenetv2_050", "mobilenetv3_small_050",
    "mobilenetv4_conv_small", "mobileone_s0", "nf_resnet50", "poolformer_s12", "regnetx_002", "regnety_002",
    "repvgg_a0", "res2net50_26w_4s", "resnest14d", "resnet26d", "resnext50_32x4d", "rexnet_100", "selecsls42",
    "tf_efficientnet_b0", "vgg11_bn", "xception41",
)  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """What became of a model; ``reason`` says why it was missed, and is ``None`` where it passed."""

    model: str
    parameters: int
    input_size: int
    filters: int
    groups: int
    removable: float
    removed: float
    reason: str | None
    seconds: float


def torchvision_models() -> tuple[str, ...]:
    """Every convolutional classifier of torchvision."""
    from torchvision import models

    transformers = ("vit_", "swin_", "maxvit_")
    names = models.list_models(module=models)
    return tuple(f"torchvision:{name}" for name in names if not name.startswith(transformers))


def entry(store: Store, progress: Progress, model: str) -> Entry:
    """What becomes of a model, tried once for each state of the engine."""
    with progress.track(model, 0):
        return store.record("zoo", {"model": model, "engine": engine_digest()}, Entry, lambda: tried(model))


def tried(model: str) -> Entry:
    """What becomes of a model, whose random weights are a function of a fixed seed."""
    import torch

    from hqp.compress import groups

    start = time.perf_counter()
    torch.manual_seed(0)
    plugin = catalog.load("models", model)
    network = plugin.build(CLASSES).eval()
    filters = sum(groups.filters(network).values())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    found: tuple[Group, ...] = ()
    removed, reason = 0, None
    try:
        example = torch.zeros(1, 3, plugin.input_size, plugin.input_size)
        found = groups.find_groups(network, example)
        removed = _pruned_and_exported(network, example, found, filters)
    except HqpError as error:
        reason = str(error)
    removable = sum(group.filters(channel) for group in found for channel in range(group.channels))
    if reason is None and removed < LEAST_REMOVED * filters:
        reason = f"{removed} of {filters} filters could go"
    return Entry(
        model, parameters, plugin.input_size, filters, len(found), round(removable / filters, 4),
        round(removed / filters, 4), reason, round(time.perf_counter() - start, 1),
    )  # fmt: skip


def _pruned_and_exported(network: Any, example: Any, found: Sequence[Group], filters: int) -> int:
    """How many filters were removed; the export itself compares the file with the module."""
    from hqp.compress import contract, export, groups

    removed = 0
    chosen: dict[str, list[int]] = {}
    for share in SHARES:
        draw = random.Random(0)
        chosen = {
            group.name: draw.sample(range(group.channels), min(group.channels - 1, round(share * group.channels)))
            for group in found
        }
        removed = sum(group.filters(channel) for group in found for channel in chosen[group.name])
        if removed >= LEAST_REMOVED * filters:
            break
    smaller = groups.remove(network, example, chosen, found)
    contract.require_classifier(smaller, example.shape[-1], CLASSES)
    with tempfile.TemporaryDirectory() as folder:
        export.export(smaller, example.shape[-1], Path(folder) / "model.onnx")
    return removed


def table(entries: Sequence[Entry]) -> str:
    """One line to a model, and how many passed."""
    from tabulate import tabulate

    rows = [
        (one.model, f"{one.parameters / 1e6:.1f}", one.input_size, one.filters, one.groups, f"{one.removable:.0%}",
         f"{one.removed:.0%}", f"{one.seconds:.0f}", one.reason or "passed")
        for one in entries
    ]  # fmt: skip
    headers = ("model", "params M", "size", "filters", "groups", "removable", "removed", "s", "")
    shown = tabulate(rows, headers, disable_numparse=True, colalign=("left", *["right"] * 7, "left"))
    return f"{shown}\n{sum(one.reason is None for one in entries)} of {len(entries)} passed"


def chosen(words: Sequence[str]) -> tuple[str, ...]:
    """The models that words name: ``small``, ``large``, or models."""
    known = (*torchvision_models(), *(f"timm:{name}" for name in TIMM))
    sizes = {"small": False, "large": True}
    return tuple(
        name
        for word in words or ("small",)
        for name in (known if word in sizes else (word,))
        if word not in sizes or _is_large(name) == sizes[word]
    )


def _is_large(name: str) -> bool:
    network = catalog.load("models", name).build(CLASSES)
    return bool(sum(parameter.numel() for parameter in network.parameters()) > LARGE_PARAMETERS)


def main(words: Sequence[str]) -> int:
    """Prints the table; 1 where a model was missed."""
    store, progress = Store(Path(".hqp")), Progress()
    names = chosen(words)
    entries = []
    for number, name in enumerate(names, 1):
        with progress.case("zoo", number, len(names)):
            entries.append(entry(store, progress, name))
    print(table(entries))
    return int(any(one.reason is not None for one in entries))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
