"""What is to be said of the file that is shipped: that it breaks the bound, why nothing was removed, and where."""

from __future__ import annotations

from hqp.compress.channels import groups
from hqp.compress.job import Draft, Job
from hqp.compress.search import passes, targets
from hqp.records import Accuracy
from hqp.stats.paired import drop_pp

# So many layers whose filters cannot go are named.
NAMED = 3

# Any level: only the value of the drop is told.
CONFIDENCE = 0.9


def explain(job: Job, draft: Draft) -> None:
    """Notes for the sidecar and the terminal, a sentence each; none where there is nothing to explain."""
    notes = (broken(job, draft), unpruned(job, draft), *draft.held)
    draft.notes = tuple(note for note in notes if note)


def broken(job: Job, draft: Draft) -> str | None:
    """That the file loses more than Δmax on ``selection``, and whether INT8 alone does."""
    assert draft.baseline is not None and draft.compressed is not None
    drop = drop_pp(draft.baseline.correct_images, draft.compressed.correct_images, CONFIDENCE)
    if drop.value <= job.delta_max_pp:
        return None
    alone = job.recipe.quantization is not None and draft.shipped == 0
    what = "INT8 alone" if alone else "the file"
    return f"the bound is broken: {what} loses {drop.value:.2f} pp on 'selection', Δmax is {job.delta_max_pp:.2f} pp"


def unpruned(job: Job, draft: Draft) -> str | None:
    """Why nothing was removed, though the method prunes."""
    if job.recipe.pruning is None or draft.shipped:
        return None
    return f"θ is 0: {_reason(job, draft)}"


def _reason(job: Job, draft: Draft) -> str:
    if not draft.groups:
        return _tied(job, draft)
    if targets.reached(job, draft, 0):
        return "the targets are reached without pruning"
    if len(draft.removals) > 1:
        return _mildest(job, draft)
    if job.recipe.pruning and job.recipe.pruning.rounds:
        return "no round of pruning and training kept the bound"
    return f"no group has channels to spare beyond a multiple of {job.policy.channel_multiple}"


def _tied(job: Job, draft: Draft) -> str:
    """That no filter can go, and where they are."""
    filters = groups.filters(job.model, job.example)
    patterns = job.recipe.pruning.keep if job.recipe.pruning else ()
    if patterns and draft.removable:
        return f"all {draft.removable:,} filters that could go are kept by {', '.join(patterns)}"
    more = ", …" if len(filters) > NAMED else ""
    where = ", ".join(list(filters)[:NAMED]) + more
    tied = "tied to the input, to the logits, or to an operation that channels cannot be cut out of"
    return f"none of {sum(filters.values()):,} filters can go, those of {where} are {tied}"


def _mildest(job: Job, draft: Draft) -> str:
    """What the first pruning step loses, in FP32 or, where it keeps the bound there, in INT8."""
    share = targets.sparsity(job, draft, 1)
    step = f"the mildest pruning step, {share:.1%} of the filters,"
    judged = passes.validated(job, draft, draft.removals[1])
    draft.spend(*judged.costs)
    if draft.accepted == 0:
        assert draft.dense is not None and judged.accuracy is not None
        return f"{step} {_loss(job, draft.dense, judged.accuracy)}"
    assert draft.baseline is not None
    return f"{step} quantised {_loss(job, draft.baseline, passes.verified(job, draft, 1))}"


def _loss(job: Job, reference: Accuracy, candidate: Accuracy) -> str:
    confidence = job.recipe.pruning.confidence if job.recipe.pruning else None
    drop = drop_pp(reference.correct_images, candidate.correct_images, confidence or CONFIDENCE)
    limit = f", at most {drop.upper:.2f}" if confidence else ""
    return f"loses {drop.value:.2f} pp on 'selection'{limit}; Δmax is {job.delta_max_pp:.2f} pp"
