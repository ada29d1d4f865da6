"""What the channels of each group are worth in time, measured on the device: the least loss per microsecond saved."""

from __future__ import annotations

from dataclasses import dataclass

from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.records import Group

# A share of the whole network's time below which a difference is noise.
LEAST_SHARE = 1e-3


@dataclass(frozen=True)
class ChannelTimes:
    """Microseconds that one channel of each group takes, by group."""

    channel_us: dict[str, float]


def channel_us(candidates: Candidates) -> dict[str, float]:
    """The microseconds that go with one channel of each group, in FP32 in the device's runtime, where a ranking asks.

    That is the difference that half of a group's channels make, shared among them; the whole network is timed anew
    beside each. What cannot be told from noise counts as a thousandth of the network's time. Measured once.
    """
    job = candidates.job
    if "latency" not in job.needs:
        return {}
    sizes = [[group.name, group.channels] for group in candidates.groups]
    key = {**job.key, "device": job.device, "groups": sizes}
    return candidates.record("saved", key, ChannelTimes, lambda ledger: _measured(candidates)).channel_us


def _measured(candidates: Candidates) -> ChannelTimes:
    job, whole = candidates.job, candidates.fp32(TRAINED)
    by_group = {}
    with job.track("microseconds of each group", len(candidates.groups)) as advance:
        for group in candidates.groups:
            by_group[group.name] = _of_group(candidates, group, job.latency_ms(whole))
            advance(1)
    return ChannelTimes(by_group)


def _of_group(candidates: Candidates, group: Group, whole_ms: float) -> float:
    half = max(1, group.channels // 2)
    least_ms = LEAST_SHARE * whole_ms
    # Of a single channel nothing would be left.
    if half == group.channels:
        return 1e3 * least_ms
    # Time depends on shapes alone, so nothing is recovered.
    smaller = candidates.fp32(Candidate.without({group.name: tuple(range(half))}))
    saved_ms = whole_ms - candidates.job.latency_ms(smaller)
    return 1e3 * max(least_ms, saved_ms) / half
