"""Pruning in rounds with training between them, from where the search without training ended.

Each round stands on the candidate that the last one left: it ranks anew, removes, recovers, trains, and is judged.
"""

from __future__ import annotations

from collections.abc import Sequence

from hqp.compress.channels import groups
from hqp.compress.channels.groups import Removal
from hqp.compress.ranking import collect
from hqp.compress.ranking.collect import Sensitivities
from hqp.compress.search import order
from hqp.compress.search.candidate import Candidate, Tuning
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.records import Rounds, Statistics


def deepen(draft: Draft) -> None:
    """Goes on round by round until a round breaks the bound twice; each that holds is one more step of the draft.

    Steps beyond what the search accepted are no longer on the way, unless no round holds.
    """
    pruning = draft.job.recipe.pruning
    if pruning is None or pruning.rounds is None:
        return
    rounds = pruning.rounds
    searched, found = draft.by_step, draft.accepted
    draft.by_step = searched[: found + 1]
    draft.ranking = draft.ranking or pruning.rankings[0]
    share, done = rounds.share, 0
    while rounds.most is None or done < rounds.most:
        done += 1
        held = _round(draft, rounds, share)
        if held:
            draft.accepted += 1
            continue
        exhausted = held is None
        if exhausted or share == rounds.retry:
            break
        share = rounds.retry
    if draft.accepted == found:
        draft.by_step = searched


def _round(draft: Draft, rounds: Rounds, share: float) -> bool | None:
    """Whether the next candidate, trained, keeps the bound; ``None`` where there is nothing left to remove."""
    candidate = _next(draft, rounds, share)
    if candidate is None:
        return None
    held = draft.holds(candidate)
    if held:
        draft.by_step.append(candidate)
    return held


def _next(draft: Draft, rounds: Rounds, share: float) -> Candidate | None:
    """The candidate after the next round, by a ranking of the channels that are left."""
    job, candidates, before = draft.job, draft.candidates, draft.by_step[-1]
    pruning = job.recipe.pruning
    assert draft.ranking is not None and pruning is not None
    removals = order.removals(candidates, pruning, draft.ranking, _statistics(candidates, before), before)
    if not removals:
        return None
    removal = _far_enough(candidates, before, removals, round(share * job.filters))
    return candidates.without(removal, Tuning(before.in_fp32, rounds.fine_tuning), before.replaced)


def _far_enough(candidates: Candidates, before: Candidate, removals: Sequence[Removal], filters: int) -> Removal:
    """The first of these removals with which so many more filters are gone, or the last.

    Where channels go in whole blocks, a step takes fewer than it names: the rest waits for the next one.
    """
    wanted = candidates.filters_removed(before) + filters
    for removal in removals:
        if candidates.filters_removed(candidates.without(removal, replaced=before.replaced)) >= wanted:
            return removal
    return removals[-1]


def _statistics(candidates: Candidates, before: Candidate) -> Statistics:
    """What the criteria score a candidate by, in the trained model's shape: groups name the channels of that."""
    measured = _sensitivities(candidates, before) if "sensitivity" in candidates.job.needs else None
    return collect.collect(candidates.grown(before), measured)


def _sensitivities(candidates: Candidates, before: Candidate) -> Sensitivities:
    """The sensitivities of what is left; those of filters that are gone are 0."""
    found = candidates.sensitivities(before)
    gone = candidates.removed(before)
    sizes = groups.sizes(candidates.base(before))
    return Sensitivities(**{kind: groups.spread(values, gone, sizes) for kind, values in vars(found).items()})
