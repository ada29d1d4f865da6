"""What each criterion and each recovery is worth, on one model: ``nox -s perf -- ablation MODEL DATASET``.

One-shot pruning to given shares of the filters, in FP32, judged on the first images of ``selection``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hqp.records import Pruning, Ranking, Recipe, Recovery
from hqp.run.context import Context
from hqp.run.inputs.request import Request
from hqp.run.job import prepared_job
from hqp.store import Store
from hqp.suite import Model

RANKINGS = (
    Ranking("fisher"),
    Ranking("fisher", per="mac"),
    Ranking("fisher_obd"),
    Ranking("fisher_obd", per="layer"),
    Ranking("fisher_obd", per="mac"),
    Ranking("fisher_refit", per="mac"),
    Ranking("magnitude", norm="l2", per_layer=True),
    Ranking("bn_gamma"),
)
SHARES = (0.35, 0.5)
JUDGED_IMAGES, COUNTED_IMAGES = 1_000, 2_500
CHOSEN = Ranking("fisher_refit", per="mac")
HEADERS = ("ranked by", "θ %", "unrecovered", "least squares", "relative", "absolute", "sequential", "nearest")
COUNTS, DEEPER = (250, 500, 1_000, 2_000, 5_000), (0.4, 0.5, 0.55, 0.6)


def main(model: str, dataset: str) -> int:
    """Prints two tables of top-1 in percent: by criterion and recovery, and by images of the sensitivity pass."""
    context = Context(Store(Path(".hqp")))
    request = Request(Model(model), dataset, "hqp", "cpu_openvino", 1.5)
    _print_recoveries(context, request)
    _print_counts(context, request)
    return 0


def _print_recoveries(context: Context, request: Request) -> None:
    """A row for each ranking and share, a column for each recovery."""
    from hqp.compress.studies.ablation import ablate

    job = prepared_job(context, request, Recipe(pruning=Pruning(RANKINGS)))
    judged = job.selection.first(JUDGED_IMAGES)
    rows = []
    for row in ablate(job, judged, SHARES):
        top1 = [_percent(accuracy.top1) for accuracy in row.accuracies]
        rows.append((str(row.ranking), _percent(row.sparsity), *top1))
    of = f"{request.model.source} on {request.dataset}"
    print(f"{of}: top-1 in percent on the first {len(judged):,} images of 'selection', FP32, one shot")
    _print_table(rows, HEADERS, first="left")


def _print_counts(context: Context, request: Request) -> None:
    """A row for each number of images of the sensitivity pass, a column for each share."""
    from hqp.compress.studies.ablation import ablate_images

    job = prepared_job(context, request, Recipe(pruning=Pruning((CHOSEN,), recovery=Recovery())))
    judged = job.selection.first(COUNTED_IMAGES)
    rows: list[tuple[str, ...]] = []
    headers: tuple[str, ...] = ()
    for counted in ablate_images(job, judged, DEEPER, COUNTS):
        top1 = [_percent(accuracy.top1) for _, accuracy in counted.found]
        rows.append((str(counted.images), f"{counted.seconds:.1f}", *top1))
        # θ is where the steps end that reach the share asked for; those of the last row stand above.
        headers = ("images", "seconds", *(f"θ {_percent(sparsity)}%" for sparsity, _ in counted.found))
    print(f"\nranked by {CHOSEN} from fewer images, recovered: top-1 in percent on the first {COUNTED_IMAGES:,} images")
    _print_table(rows, headers, first="right")


def _percent(share: float) -> str:
    return f"{100 * share:.1f}"


def _print_table(rows: Sequence[Sequence[str]], headers: Sequence[str], first: str) -> None:
    from tabulate import tabulate

    aligned = (first, *["right"] * (len(headers) - 1))
    print(tabulate(rows, headers, disable_numparse=True, colalign=aligned))
