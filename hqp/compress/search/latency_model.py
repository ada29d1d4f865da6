"""How long a candidate will take on the device: networks of random widths, as they would be shipped, are timed on it.

Weights do not matter to time, so these are cut and quantised cheaply and thrown away; what was fitted to their times
is kept, for a model, a device and its environment.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from hqp.compress.channels.groups import Removal
from hqp.compress.ranking import latency
from hqp.compress.ranking.greedy import Remaining
from hqp.compress.ranking.latency import LatencyModel, Times
from hqp.compress.search.candidate import TRAINED, Candidate
from hqp.compress.search.candidates import Candidates
from hqp.ledger import Ledger
from hqp.records import Group, Quantization
from hqp.store import Store

# Twice as many as there are numbers to fit.
NETWORKS = 24

# Of each group at least this share stays: what is shipped has lost more of few groups only.
LEAST_LEFT = 0.1

# Ranges of a few images do: how wide they are is no matter to time.
CHEAP = Quantization(("minmax",), images=8, compared=8)

STEP = "latency model"


def times(candidates: Candidates, of: Candidate = TRAINED) -> Times:
    """The microseconds of each layer of a candidate's base, by a model that is measured once."""
    return Times(latency.layouts(candidates.base(of), candidates.job.example), fitted(candidates))


def fitted(candidates: Candidates) -> LatencyModel:
    """The model of the device's latency for networks like the trained one, as they would be shipped."""
    job = candidates.job
    key = {
        **job.key,
        "device": job.device,
        "policy": asdict(job.policy),
        "quantised": job.recipe.quantization is not None,
        "precision": job.recipe.precision,
        "groups": [[group.name, group.channels] for group in candidates.groups()],
        "networks": NETWORKS,
    }

    def measure(ledger: Ledger) -> LatencyModel:
        with ledger.step(STEP) as tally:
            tally.passes = NETWORKS
            return _measured(candidates)

    return candidates.record("latency-model", key, LatencyModel, measure)


def _measured(candidates: Candidates) -> LatencyModel:
    job = candidates.job
    known = latency.layouts(job.model, job.example)
    # Beside the random ones the network as it is, from which every ranking starts.
    removals: list[Removal] = [{}, *random_removals(candidates.groups(), NETWORKS - 1)]
    whole = {name: (layout.filters, layout.inputs) for name, layout in known.items()}
    sizes = [Remaining(candidates.groups(), whole, removal).left for removal in removals]
    us = [1e3 * ms for ms in timed(candidates, removals)]
    return latency.fit(known, list(zip(sizes, us, strict=True)))


def random_removals(groups: Sequence[Group], number: int, seed: int = 0) -> list[Removal]:
    """So many ways to take a random share of each group's channels."""
    draw = random.Random(seed)
    removals: list[Removal] = []
    for _ in range(number):
        left = {group.name: max(1, round(draw.uniform(LEAST_LEFT, 1) * group.channels)) for group in groups}
        gone = {group.name: tuple(range(group.channels - left[group.name])) for group in groups}
        removals.append({name: channels for name, channels in gone.items() if channels})
    return removals


def timed(candidates: Candidates, removals: Sequence[Removal]) -> list[float]:
    """The latencies of networks without these channels on the device, in ms, timed in turn."""
    job = candidates.job
    with tempfile.TemporaryDirectory() as folder:
        quantization = CHEAP if job.recipe.quantization else None
        recipe = replace(job.recipe, quantization=quantization)
        # What is made here is of no use to anyone else, and what it took is entered as a whole.
        apart = Candidates(replace(job, store=Store(Path(folder), job.warn), recipe=recipe))
        apart.channels = candidates.channels  # type: ignore[method-assign]
        plain = [replace(apart.without(removal), recovery=None) for removal in removals]
        with job.track(STEP, len(plain)) as advance:
            files = []
            for candidate in plain:
                files.append(apart.file(candidate))
                advance(1)
        return job.latencies_ms(files)
