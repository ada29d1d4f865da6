"""What is to be said of the file that is shipped: that it breaks the bound, why nothing was removed, and where."""

from __future__ import annotations

from hqp.compress.channels import groups
from hqp.compress.job import Job
from hqp.compress.search import targets
from hqp.compress.search.draft import Draft
from hqp.records import Accuracy
from hqp.stats.paired import drop_pp

# So many layers whose filters cannot go are named.
NAMED = 3

# Any level: only the value of the drop is told.
CONFIDENCE = 0.9


def explain(draft: Draft) -> None:
    """Notes for the sidecar and the terminal, a sentence each; none where there is nothing to explain."""
    simplified = [str(one) for one in draft.simplified]
    notes = (broken(draft), unpruned(draft), instead(draft), *simplified, *draft.candidates.channels(draft.final).held)
    draft.notes = tuple(note for note in notes if note)


def broken(draft: Draft) -> str | None:
    """That the file loses more than Δmax on ``selection``, and whether INT8 alone does."""
    job, candidates = draft.job, draft.candidates
    trained, shipped = candidates.trained_on_selection, candidates.on_selection(draft.final)
    drop = drop_pp(trained.correct_images, shipped.correct_images, CONFIDENCE)
    if drop.value <= job.delta_max_pp:
        return None
    alone = job.recipe.quantization is not None and draft.shipped == 0
    what = "INT8 alone" if alone else "the file"
    return f"the bound is broken: {what} loses {drop.value:.2f} pp on 'selection', Δmax is {job.delta_max_pp:.2f} pp"


def unpruned(draft: Draft) -> str | None:
    """Why nothing was removed, though the method prunes."""
    if draft.job.recipe.pruning is None or draft.shipped or pruned_is_slower(draft):
        return None
    return f"θ is 0: {_reason(draft)}"


def instead(draft: Draft) -> str | None:
    """That the dense network is shipped in the place of the pruned one, since it is faster."""
    if not draft.ships_dense:
        return None
    assert draft.dense is not None
    return f"{draft.dense.faster} as what the search found, and is shipped in its place"


def pruned_is_slower(draft: Draft) -> bool:
    """Whether channels could go, and what that leaves is slower than the dense network."""
    return draft.ships_dense and draft.dense is not None and draft.dense.steps > 0


def _reason(draft: Draft) -> str:
    pruning = draft.job.recipe.pruning
    if not draft.candidates.groups():
        return _tied(draft)
    if targets.reached(draft, 0):
        return "the targets are reached without pruning"
    if len(draft.by_step) > 1:
        return _mildest(draft)
    if pruning and pruning.rounds:
        return "no round of pruning and training kept the bound"
    if pruning and pruning.at_most:
        return "no filter may go by the policy"
    return f"no group has channels to spare beyond a multiple of {draft.job.policy.channel_multiple}"


def _tied(draft: Draft) -> str:
    """That no filter can go, and where they are."""
    job = draft.job
    filters = groups.filters(job.model, job.example)
    removable = groups.filters_of(draft.candidates.channels().found)
    patterns = job.recipe.pruning.keep if job.recipe.pruning else ()
    if patterns and removable:
        return f"all {removable:,} filters that could go are kept by {', '.join(patterns)}"
    more = ", …" if len(filters) > NAMED else ""
    where = ", ".join(list(filters)[:NAMED]) + more
    tied = "tied to the input, to the logits, or to an operation that channels cannot be cut out of"
    return f"none of {sum(filters.values()):,} filters can go, those of {where} are {tied}"


def _mildest(draft: Draft) -> str:
    """What the first pruning step loses, in FP32 or, where it keeps the bound there, in INT8."""
    share = targets.sparsity(draft, 1)
    step = f"the mildest pruning step, {share:.1%} of the filters,"
    candidates, mildest = draft.candidates, draft.by_step[1]
    # The bound held in PyTorch, so it was the file that broke it.
    confidence = draft.job.recipe.confidence
    if draft.accepted:
        loss = _loss(draft.job, candidates.trained_on_selection, candidates.on_selection(mildest), confidence)
        return f"{step} quantised {loss}"
    judged = candidates.validated(mildest)
    assert draft.bound is not None and judged is not None
    return f"{step} {_loss(draft.job, draft.bound.trained, judged, confidence)}"


def _loss(job: Job, trained: Accuracy, candidate: Accuracy, confidence: float | None) -> str:
    """What a candidate loses, and at most at the confidence to which it is held."""
    drop = drop_pp(trained.correct_images, candidate.correct_images, confidence or CONFIDENCE)
    limit = f", at most {drop.upper:.2f}" if confidence else ""
    return f"loses {drop.value:.2f} pp on 'selection'{limit}; Δmax is {job.delta_max_pp:.2f} pp"
