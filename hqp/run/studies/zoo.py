"""Which networks the engine takes: every model of a list, with random weights, ranked, pruned, refitted and exported.

``python -m hqp.run.studies.zoo small`` (or ``large``, or models), which `nox -s zoo` calls, goes on where it stopped.
A refusal counts as a miss; anything else that is raised is a defect.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hqp import catalog
from hqp.run.engine import code_digest
from hqp.run.inputs.network_input import DEFAULT_SIZE
from hqp.run.progress import Progress
from hqp.run.studies.ablation import CHOSEN
from hqp.store import Store

if TYPE_CHECKING:
    from hqp.compress.studies.trial import Trial

# Above so many parameters a model counts as large.
LARGE_PARAMETERS = 30e6

# Characters of a line of the reason why a model was missed.
REASON_WIDTH = 60

TRANSFORMERS = ("vit_", "swin_", "maxvit_")

# Of transformers, those that HQP promises; the others of torchvision are left out.
PROMISED = ("torchvision:vit_b_16", "timm:deit_tiny_patch16_224")

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
    """A model of the zoo, and what became of it."""

    model: str
    input_size: int
    trial: Trial


def known() -> tuple[str, ...]:
    """Every convolutional classifier of torchvision, those of timm, and two transformers."""
    from hqp.models import torchvision

    names = [name for name in torchvision.names() if not name.startswith(TRANSFORMERS)]
    return (*(f"torchvision:{name}" for name in names), *(f"timm:{name}" for name in TIMM), *PROMISED)


def entry(store: Store, progress: Progress, model: str) -> Entry:
    """What becomes of a model, tried once for each state of the engine."""
    from hqp.compress.studies import trial

    def tried() -> trial.Trial:
        return trial.trial(plugin.build, size, criterion.score)

    criterion = catalog.load("criteria", CHOSEN.criterion)
    plugin = catalog.load("models", model)
    size = plugin.input_size or DEFAULT_SIZE
    code = code_digest(Path(trial.__file__), Path(criterion.__file__))
    with progress.track(model, 0):
        found = store.record("zoo", {"model": model, "engine": code}, trial.Trial, tried)
    return Entry(model, size, found)


def table(entries: Sequence[Entry]) -> str:
    """One line to a model, and how many passed."""
    from tabulate import tabulate

    rows = [
        (
            one.model,
            f"{one.trial.parameters / 1e6:.1f}",
            one.input_size,
            one.trial.filters,
            one.trial.groups,
            f"{one.trial.removable:.0%}",
            f"{one.trial.removed:.0%}",
            f"{one.trial.seconds:.0f}",
            one.trial.reason or "passed",
        )
        for one in entries
    ]
    headers = ("model", "params M", "size", "filters", "groups", "removable", "removed", "s", "")
    aligned = ("left", *["right"] * 7, "left")
    shown = tabulate(rows, headers, disable_numparse=True, colalign=aligned, maxcolwidths=[*[None] * 8, REASON_WIDTH])
    return f"{shown}\n{sum(one.trial.reason is None for one in entries)} of {len(entries)} passed"


def chosen(word: str) -> tuple[str, ...]:
    """The models of the list that are ``small`` or ``large``, or the model of that name."""
    if word not in ("small", "large"):
        return (word,)
    return tuple(name for name in known() if _is_large(name) == (word == "large"))


def _is_large(name: str) -> bool:
    from hqp.compress.studies.trial import CLASSES

    network = catalog.load("models", name).build(CLASSES)
    return bool(sum(parameter.numel() for parameter in network.parameters()) > LARGE_PARAMETERS)


def main(words: Sequence[str]) -> int:
    """Prints the table; 1 where a model was missed."""
    store, progress = Store(Path(".hqp")), Progress()
    names = tuple(name for word in words or ("small",) for name in chosen(word))
    entries = []
    for number, name in enumerate(names, 1):
        with progress.case("zoo", number, len(names)):
            entries.append(entry(store, progress, name))
    print(table(entries))
    return int(any(one.trial.reason is not None for one in entries))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
