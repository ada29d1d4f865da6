"""The order in which channels go along a ranking: by score alone, or by the loss for what removal saves."""

from __future__ import annotations

from hqp.compress.channels.groups import Removal
from hqp.compress.ranking import greedy, limits, steps, work
from hqp.compress.search import latency_model
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.records import Pruning, Ranking, Statistics


def ranked(
    candidates: Candidates,
    ranking: Ranking,
    statistics: Statistics,
    start: Candidate = TRAINED,
) -> tuple[tuple[str, int], ...]:
    """Channels, (group, channel), those that go first in front; what ``start`` has lost already saves no more."""
    job, found = candidates.job, candidates.groups(start)
    scores = {group.name: job.scores[ranking](group, statistics) for group in found}
    pruning = job.recipe.pruning
    if pruning and pruning.at_most:
        scores = limits.limited(found, scores, pruning.at_most, start.removal)
    if ranking.saves is None:
        return steps.ranked(found, scores)
    return greedy.ranked(found, scores, _costs(candidates, ranking, start), start.removal)


def removals(
    candidates: Candidates, pruning: Pruning, ranking: Ranking, statistics: Statistics, start: Candidate = TRAINED
) -> tuple[Removal, ...]:
    """What is gone after 1, 2, ... pruning steps along a ranking, from ``start`` on."""
    job, channels = candidates.job, ranked(candidates, ranking, statistics, start)
    step_filters = max(1, round(pruning.step_fraction * job.filters))
    multiple = job.policy.channel_multiple
    return steps.steps(candidates.groups(start), channels, step_filters, multiple, start.removal)


def _costs(candidates: Candidates, ranking: Ranking, of: Candidate) -> greedy.Costs:
    """What the layers of a candidate's base take, in the unit that the ranking weighs losses against."""
    if ranking.saves == "us":
        return latency_model.times(candidates, of)
    return work.work(candidates.base(of), candidates.job.example)
