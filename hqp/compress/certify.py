"""The certificate: with probability at least 1 - α, the file that is shipped loses no more than Δmax.

Candidates along the pruning path, chosen on ``selection``, are tested on ``test`` from mild to aggressive, each at the
whole α, until one is not shown to be within Δmax; the last that was is shipped. Since the order is fixed before
``test`` is looked at, the chance of shipping a file that breaks Δmax is at most α, without a correction for their
number. Source: A. Angelopoulos et al., "Learn then Test", arXiv 2110.01052 (2021), fixed-sequence testing.
"""

from __future__ import annotations

from hqp.compress import candidates
from hqp.compress.job import Draft, Job
from hqp.records import Certificate, Estimate
from hqp.stats.paired import drop_pp
from hqp.stats.power import samples_to_decide

# Of the way to what ``selection`` accepts. The first is mild enough to hold where the last may not; each one more costs
# an export, a calibration and a pass over ``test``.
SHARES = (0.85, 1.0)


def path(accepted: int) -> list[int]:
    """The pruning steps whose files are tested, ascending; the last is what ``selection`` accepts."""
    return sorted({round(share * accepted) for share in SHARES})


def certify(job: Job, draft: Draft) -> None:
    """Ships the last candidate that ``test`` shows to be within Δmax, and says so; where it shows none, says that."""
    alpha = job.recipe.alpha
    if alpha is None:
        return
    tested, passed = [], 0
    for step in path(draft.shipped):
        tested.append((step, *_tested(job, draft, step, alpha)))
        if tested[-1][1].upper > job.delta_max_pp:
            break
        passed += 1
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
    reference, candidate = job.test(draft.dense_file), job.test(candidates.file(job, draft, step))
    return drop_pp(reference.correct_images, candidate.correct_images, 1 - 2 * alpha), candidate.total
