"""What each step took of the points that may be lost, for what is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hqp.compress.search.candidate import Candidate
from hqp.compress.search.draft import Draft
from hqp.records import Accuracy, Budget, Spender


def spend(draft: Draft) -> None:
    """Tells in the draft what each step lost on ``selection``, of which nearly all was judged on the way."""
    trained, spent_pp = draft.candidates.trained_on_selection, dict[Spender, float]()
    before_pp = 0.0
    for step, judged in _stages(draft):
        # A pass that ended early tells of its own images.
        right_before = int(trained.correct_images[: judged.total].sum())
        lost_pp = 100 * (right_before - judged.correct) / judged.total
        spent_pp[step] = lost_pp - before_pp
        before_pp = lost_pp
    draft.budget = Budget(draft.job.delta_max_pp, spent_pp) if spent_pp else None


def _stages(draft: Draft) -> Iterator[tuple[Spender, Accuracy]]:
    """The steps that made what is shipped, each with the accuracy after it."""
    candidates, final = draft.candidates, draft.final
    if final.replaced and final.gone:
        yield "blocks", _as_searched(draft, replace(final.in_fp32, gone=(), recovery=None, tuning=None))
    if draft.pruned is not None:
        yield "channels" if final.gone else "blocks", draft.pruned
    if final.quantised is not None:
        uniform = replace(final, quantised=replace(final.quantised, policy=draft.job.policy))
        yield "quantisation", candidates.on_selection(uniform)
        if uniform != final:
            yield "precision", candidates.on_selection(final)
    elif final.precision != "fp32":
        yield "precision", candidates.on_selection(final)


def _as_searched(draft: Draft, candidate: Candidate) -> Accuracy:
    """What a candidate has of the images on which the search judged it, of all where it did not."""
    judged = draft.judged.get(candidate) or draft.candidates.validated(candidate)
    assert judged is not None
    return judged
