"""What each step took of the points that may be lost, for what is shipped."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from hqp.compress.search.candidate import Candidate
from hqp.compress.search.draft import Draft
from hqp.records import Accuracy, Budget, Spender


def spend(draft: Draft) -> None:
    """Tells in the draft what each step lost on ``selection``, of which nearly all was judged on the way."""
    before, spent_pp = draft.candidates.trained_on_selection, dict[Spender, float]()
    for step, after in _stages(draft):
        spent_pp[step] = 100 * (before.correct - after.correct) / after.total
        before = after
    draft.budget = Budget(draft.job.delta_max_pp, spent_pp) if spent_pp else None


def _stages(draft: Draft) -> Iterator[tuple[Spender, Accuracy]]:
    """The steps that made what is shipped, each with the accuracy after it."""
    candidates, final = draft.candidates, draft.final
    if final.replaced:
        yield "blocks", _in_pytorch(draft, replace(final.in_fp32, gone=(), recovery=None, tuning=None))
    if final.gone:
        yield "channels", _in_pytorch(draft, final.in_fp32)
    if final.quantised is not None:
        uniform = replace(final, quantised=replace(final.quantised, policy=draft.job.policy))
        yield "quantisation", candidates.on_selection(uniform)
        if uniform != final:
            yield "precision", candidates.on_selection(final)
    elif final.precision != "fp32":
        yield "precision", candidates.on_selection(final)


def _in_pytorch(draft: Draft, candidate: Candidate) -> Accuracy:
    judged = draft.judged.get(candidate) or draft.candidates.validated(candidate)
    assert judged is not None
    return judged
