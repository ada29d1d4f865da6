"""What the channels of each group are worth in time, measured on the device: the least loss per microsecond saved."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.compress.job import Draft, Job
from hqp.compress.search import candidates
from hqp.records import Group

# A share of the whole network's time below which a difference is noise.
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class Saved:
    """Microseconds that one channel of each group takes, by group."""

    channel_us: dict[str, float]


def channel_us(job: Job, draft: Draft) -> dict[str, float]:
    """The microseconds that go with one channel of each group, in FP32 in the device's runtime, where a ranking asks.

    That is the difference that half of a group's channels make, shared among them; the whole network is timed anew
    beside each. What cannot be told from noise counts as a thousandth of the network's time. Measured once.
    """
    if "latency" not in job.needs:
        return {}
    key = {**job.key, "device": job.device, "groups": [[group.name, group.channels] for group in draft.groups]}
    return job.store.record("saved", key, Saved, lambda: _measured(job, draft)).channel_us


def _measured(job: Job, draft: Draft) -> Saved:
    dense = candidates.exported(job, draft, {})
    with job.track("microseconds of each group", len(draft.groups)) as advance:
        found = {}
        for group in draft.groups:
            found[group.name] = _one(job, draft, group, job.latency_ms(dense))
            advance(1)
    return Saved(found)


def _one(job: Job, draft: Draft, group: Group, dense_ms: float) -> float:
    half = max(1, group.channels // 2)
    least = LEAST_SHARE * dense_ms
    if half == group.channels:
        return 1e3 * least
    smaller = candidates.unrecovered(job, draft, {group.name: tuple(range(half))})
    return 1e3 * max(least, dense_ms - job.latency_ms(smaller)) / half
