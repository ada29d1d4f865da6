"""The certificate: with probability at least 1 - α, the file that is shipped loses no more than Δmax.

Candidates along the pruning path are tested on ``test`` from mild to aggressive, each at the whole α, until one is not
shown to be within Δmax; the last that was is shipped. They go on beyond what ``selection`` accepts, which searched the
path and so is held to a stricter confidence. Since the order is fixed before ``test`` is looked at, the chance of
shipping a file that breaks Δmax is at most α, without a correction for their number.
Source: A. Angelopoulos et al., "Learn then Test", arXiv 2110.01052 (2021), fixed-sequence testing.
"""

from __future__ import annotations

from hqp.compress import passes, targets
from hqp.compress.job import Draft, Job
from hqp.records import Certificate, Estimate
from hqp.stats.paired import drop_pp
from hqp.stats.power import samples_to_decide

# Of the way to what ``selection`` accepts: mild enough to hold where that may not.
FIRST = 0.85

# How much further each one beyond that goes. It costs a recovery, a calibration and a pass over ``test``.
STRIDE = 0.05


def path(accepted: int, last: int) -> list[int]:
    """The pruning steps whose files are tested, ascending: to what ``selection`` accepts, then on to the last."""
    steps = sorted({round(FIRST * accepted), accepted})
    while (further := steps[-1] + max(1, round(STRIDE * steps[-1]))) <= last:
        steps.append(further)
    return steps


def certify(job: Job, draft: Draft) -> None:
    """Ships the last candidate that ``test`` shows to be within Δmax, and says so; where it shows none, says that."""
    alpha = job.recipe.alpha
    if alpha is None:
        return
    tested, passed = [], 0
    for step in path(draft.shipped, len(draft.removals) - 1):
        tested.append((step, *_tested(job, draft, step, alpha)))
        if tested[-1][1].upper > job.delta_max_pp:
            break
        passed += 1
        if targets.reached(job, draft, step):
            break
    # Where the first already fails, its numbers are told, and what `selection` accepts is shipped uncertified.
    step, drop, images = tested[max(0, passed - 1)]
    within_reach = not passed and drop.value <= job.delta_max_pp
    needed = samples_to_decide(drop, job.delta_max_pp, images) if within_reach else None
    draft.shipped = step if passed else draft.shipped
    draft.certificate = Certificate(
        alpha, job.delta_max_pp, passed > 0, drop.value, drop.upper, images, needed, len(tested)
    )


def _tested(job: Job, draft: Draft, step: int, alpha: float) -> tuple[Estimate, int]:
    """The drop on ``test``, whose upper limit is one-sided at 1 - α, and the number of images."""
    reference, candidate = job.test(draft.dense_file).accuracy, passes.tested(job, draft, step)
    return drop_pp(reference.correct_images, candidate.correct_images, 1 - 2 * alpha), candidate.total
