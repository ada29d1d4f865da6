"""What each criterion and each recovery is worth, on one model: ``nox -s perf -- ablation MODEL DATASET``.

One-shot pruning to given shares of the filters, in FP32, judged on the first images of ``selection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hqp.records import Pruning, Ranking, Recipe
from hqp.run.compress import prepared_job
from hqp.run.context import Context
from hqp.run.subject import Request
from hqp.store import Store
from hqp.suite import Model

RANKINGS = (
    Ranking("fisher"),
    Ranking("fisher", per="mac"),
    Ranking("fisher_obd"),
    Ranking("fisher_obd", per="layer"),
    Ranking("fisher_obd", per="mac"),
    Ranking("fisher_obd", per="us"),
    Ranking("magnitude", norm="l2", per_layer=True),
    Ranking("bn_gamma"),
)
SHARES = (0.35, 0.5)
JUDGED_IMAGES = 1_000
HEADERS = ("ranked by", "θ %", "unrecovered", "least squares", "and batch norm")


def main(model: str, dataset: str) -> int:
    """Prints the table: top-1 in percent after each recovery."""
    from tabulate import tabulate

    from hqp.compress.ablation import Row, ablate

    context = Context(Store(Path(".hqp")))
    recipe = Recipe("ablation", pruning=Pruning(RANKINGS))
    job = prepared_job(context, Request(Model(model), dataset, "hqp", "cpu_openvino", 1.5), recipe)
    judged = job.selection.first(JUDGED_IMAGES)

    def shown(row: Row) -> Sequence[str]:
        return (str(row.ranking), f"{100 * row.sparsity:.1f}", *(f"{100 * one.top1:.1f}" for one in row.accuracies))

    rows = [shown(row) for row in ablate(job, judged, SHARES)]
    print(f"{model} on {dataset}: top-1 in percent on the first {len(judged):,} images of 'selection', FP32, one shot")
    print(tabulate(rows, HEADERS, disable_numparse=True, colalign=("left", *["right"] * 4)))
    return 0
