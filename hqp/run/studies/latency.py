"""How well latency is foretold on this machine: ``nox -s perf -- latency MODEL DATASET DEVICE``."""

from __future__ import annotations

from pathlib import Path

from hqp.records import Pruning, Quantization, Ranking, Recipe
from hqp.run.context import Context
from hqp.run.inputs.request import Request
from hqp.run.job import prepared_job
from hqp.store import Store
from hqp.suite import Model

NETWORKS = 30
LEAST_CORRELATION = 0.95

RECIPE = Recipe(pruning=Pruning((Ranking("fisher_obd", per="us"),)), quantization=Quantization())


def main(model: str = "resnet18", dataset: str = "signs", device: str = "cpu_openvino") -> int:
    """Prints how alike the orders of networks by foretold and by measured latency are."""
    from hqp.compress.studies.foretelling import foretell

    context = Context(Store(Path(".hqp")))
    job = prepared_job(context, Request(Model(model), dataset, "hqp", device, 1.5), RECIPE)
    found = foretell(job, NETWORKS)
    fastest, slowest = min(found.measured_us), max(found.measured_us)
    print(
        f"latency of {NETWORKS} random prunings of {model} in INT8 on {device}, {fastest:.0f} to {slowest:.0f} µs:"
        f" rank correlation of foretold and measured {found.rank_correlation:.3f} (at least {LEAST_CORRELATION});"
        f" channels count in blocks of {found.block}, fitted within {found.error:.1%}"
    )
    return 0
