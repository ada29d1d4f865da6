"""The order in which channels go along a ranking: by score alone, or by the loss for what removal saves."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from hqp.compress.ranking import greedy, steps, work
from hqp.compress.search import latency_model
from hqp.compress.search.candidates import Candidates
from hqp.records import Ranking, Statistics


def ranked(
    candidates: Candidates,
    ranking: Ranking,
    statistics: Statistics,
    gone: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> tuple[tuple[str, int], ...]:
    """Channels, (group, channel), those that go first in front; what is ``gone`` already saves nothing more."""
    job, found = candidates.job, candidates.groups
    scores = {group.name: job.scores[ranking](group, statistics) for group in found}
    if ranking.saves is None:
        return steps.ranked(found, scores)
    return greedy.ranked(found, scores, _costs(candidates, ranking), gone)


def _costs(candidates: Candidates, ranking: Ranking) -> greedy.Costs:
    """What layers take, in the unit that the ranking weighs losses against."""
    if ranking.saves == "us":
        return latency_model.times(candidates)
    return work.work(candidates.job.model, candidates.job.example)
