"""What each criterion and each recovery is worth, on one model: ``nox -s perf -- ablation MODEL DATASET``.

One-shot pruning to given shares of the filters, in FP32, judged on the first images of ``selection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hqp.records import Pruning, Ranking, Recipe, Recovery
from hqp.run.compress import prepared_job
from hqp.run.context import Context
from hqp.run.inputs.request import Request
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
JUDGED_IMAGES, COUNTED_IMAGES = 1_000, 2_500
CHOSEN = Ranking("fisher_obd")
HEADERS = ("ranked by", "θ %", "unrecovered", "least squares", "relative", "absolute", "nearest")
COUNTS, DEEPER = (250, 500, 1_000, 2_000, 5_000), (0.4, 0.5, 0.55, 0.6)


def main(model: str, dataset: str) -> int:
    """Prints two tables of top-1 in percent: by criterion and recovery, and by images of the sensitivity pass."""
    from tabulate import tabulate

    from hqp.compress.studies.ablation import Row, ablate, ablate_images

    context = Context(Store(Path(".hqp")))
    recipe = Recipe(pruning=Pruning(RANKINGS))
    request = Request(Model(model), dataset, "hqp", "cpu_openvino", 1.5)
    job = prepared_job(context, request, recipe)
    judged = job.selection.first(JUDGED_IMAGES)

    def shown(row: Row) -> Sequence[str]:
        return (str(row.ranking), f"{100 * row.sparsity:.1f}", *(f"{100 * one.top1:.1f}" for one in row.accuracies))

    rows = [shown(row) for row in ablate(job, judged, SHARES)]
    print(f"{model} on {dataset}: top-1 in percent on the first {len(judged):,} images of 'selection', FP32, one shot")
    print(tabulate(rows, HEADERS, disable_numparse=True, colalign=("left", *["right"] * 6)))

    job = prepared_job(context, request, Recipe(pruning=Pruning((CHOSEN,), recovery=Recovery())))
    counted = list(ablate_images(job, job.selection.first(COUNTED_IMAGES), DEEPER, COUNTS))
    print(f"\nranked by {CHOSEN} from fewer images, recovered: top-1 in percent on the first {COUNTED_IMAGES:,} images")
    headers = ("images", "seconds", *(f"θ {100 * sparsity:.1f}%" for sparsity, _ in counted[-1].found))
    lines = [(one.images, f"{one.seconds:.1f}", *(f"{100 * top.top1:.1f}" for _, top in one.found)) for one in counted]
    print(tabulate(lines, headers, disable_numparse=True, colalign=["right"] * len(headers)))
    return 0
