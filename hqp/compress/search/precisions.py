"""Which layers of a quantised file stay in float, by what the device measures.

One profile of the file that is INT8 throughout and one of the same network in float tell what each layer takes in
either. Layers that are much faster in float stay there; and such a file is taken only where, timed in turn with the one
that is INT8 throughout, it is surely the faster one. There is no search by layer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from pathlib import Path

from hqp.compress.job import Job
from hqp.compress.quantisation import layer_times
from hqp.compress.search.candidate import Candidate, Quantised
from hqp.compress.search.candidates import Candidates
from hqp.compress.search.draft import Draft
from hqp.compress.search.settling import settle
from hqp.ledger import Ledger
from hqp.records import Estimate, LayerChoice, LayerPrecision, Policy, Precisions

STEP = "precision by layer"

# The ms that each layer takes in INT8 and in float.
Times = dict[str, tuple[float, float]]

# A layer stays in float where that saves so much of its time in INT8. Each share gives a file to be timed: what a
# runtime puts between a layer in float and its neighbours no profile foretells. MobileNetV3-Large at 96 pixels is
# 1.17 times as fast in ONNX Runtime with those that save half, depthwise convolutions; in OpenVINO slower with any.
SHARES = (0.5, 0.25)
# What the layers must save by the profiles, of the network's time, before a file is made and timed of them.
LEAST_SAVED_SHARE = 0.01
# And what its file must save at first sight before it is timed in fresh processes: what they found to be faster saved
# over a tenth, and of less than a twentieth they were never sure.
PROMISING_SHARE = 0.05
# Of a network whose layers take less together, the calls take most, and a profile's clock of 1 us tells little.
LEAST_MS = 0.1


def choose_precisions(draft: Draft) -> None:
    """Gives every candidate the policy of the fastest file; where nothing tells times, INT8 stays throughout."""
    candidates, job = draft.candidates, draft.job
    settle(draft)
    uniform = draft.by_step[draft.accepted]
    quantised = uniform.quantised
    if quantised is None or not quantised.how.by_layer:
        return
    key = {
        **candidates.key(uniform),
        "quantised": asdict(quantised),
        "device": job.device,
        "floats": job.floats,
    }

    def choose(ledger: Ledger) -> Precisions:
        return _chosen(draft, uniform, quantised, ledger)

    draft.precisions = candidates.record("precisions", key, Precisions, choose)
    if draft.precisions.kept:
        draft.by_step[draft.accepted] = _settled(draft, uniform)
        draft.by_step = [with_policy(step, draft.precisions.policy) for step in draft.by_step]


def _settled(draft: Draft, candidate: Candidate) -> Candidate:
    """The candidate by the calibration that was chosen on its file, which need not be chosen again."""
    return candidate if draft.settled is None else candidate.calibrated_by(draft.settled.calibration)


def with_policy(candidate: Candidate, policy: Policy) -> Candidate:
    """The candidate in another precision by layer; one that is not quantised as it is."""
    if candidate.quantised is None:
        return candidate
    return replace(candidate, quantised=replace(candidate.quantised, policy=policy))


def _chosen(draft: Draft, uniform: Candidate, quantised: Quantised, ledger: Ledger) -> Precisions:
    """By the profiles of both files, and by timing each file that follows from them beside the one of INT8 alone."""
    candidates, job = draft.candidates, draft.job
    times = _profiled(candidates, uniform, ledger)
    best = Precisions(quantised.policy, _choices(times, ()), False, None)
    for in_float in _worth_timing(times):
        layers: dict[str, LayerPrecision] = {**quantised.policy.layers, **dict.fromkeys(in_float, "float")}
        mixed = replace(quantised.policy, layers=layers, floats=job.floats)
        files = candidates.file(uniform), candidates.file(with_policy(_settled(draft, uniform), mixed))
        # What the files took is entered where they are made.
        with ledger.step(STEP) as tally:
            speedup, tally.passes = _speedup(job, *files), len(files)
        if speedup is None:
            continue
        kept = speedup.lower > 1
        tried = Precisions(mixed if kept else quantised.policy, _choices(times, in_float), kept, speedup)
        best = max(best, tried, key=_rank)
    return best


def _speedup(job: Job, uniform: Path, mixed: Path) -> Estimate | None:
    """How many times as fast a file is; nothing where a hundred inferences of each in turn do not promise enough.

    Fresh processes take much longer to say so, and must show the whole interval to be faster.
    """
    uniform_ms, mixed_ms = job.latencies_ms([uniform, mixed])
    return job.speedup(uniform, mixed) if mixed_ms <= (1 - PROMISING_SHARE) * uniform_ms else None


def _rank(tried: Precisions) -> tuple[bool, float]:
    return tried.kept, tried.speedup.value if tried.speedup else 0.0


def _worth_timing(times: Times) -> Iterator[tuple[str, ...]]:
    """The sets of layers in float, each once, that promise to save enough; at last all of them."""
    whole_ms = sum(int8_ms for int8_ms, _ in times.values())
    if whole_ms < LEAST_MS:
        return
    sets = [tuple(layer for layer in times if _saved_ms(times[layer]) >= share * times[layer][0]) for share in SHARES]
    for in_float in dict.fromkeys((*sets, tuple(times))):
        if sum(_saved_ms(times[layer]) for layer in in_float) > LEAST_SAVED_SHARE * whole_ms:
            yield in_float


def _saved_ms(time: tuple[float, float]) -> float:
    int8_ms, float_ms = time
    return int8_ms - float_ms


def _choices(times: Times, in_float: Collection[str]) -> tuple[LayerChoice, ...]:
    return tuple(
        LayerChoice(layer, "float" if layer in in_float else "int8", int8_ms, float_ms)
        for layer, (int8_ms, float_ms) in times.items()
    )


def _profiled(candidates: Candidates, uniform: Candidate, ledger: Ledger) -> Times:
    """What each layer takes in INT8 and in float; nothing where the device tells no times."""
    job = candidates.job
    in_float = replace(uniform, quantised=None, precision=job.floats)
    by_file = []
    with job.track("time of each layer", 2) as advance:
        for candidate in (uniform, in_float):
            file = candidates.file(candidate)
            with ledger.step(STEP) as tally:
                operators, tally.passes = job.operator_ms(file), 1
            if not operators:
                return {}
            by_file.append(layer_times.layer_ms(file, operators))
            advance(1)
    int8_ms, float_ms = by_file
    return {layer: (int8_ms[layer], float_ms[layer]) for layer in int8_ms}
