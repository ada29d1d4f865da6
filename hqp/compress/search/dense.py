"""Never slower than the best dense precision: what pruning found is timed beside the dense network in each one.

Where a dense network is surely faster and holds the bound, it stands in the place of the pruned file: a runtime may be
so slow with what pruning and INT8 leave that both cost accuracy for nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from hqp.compress.search import certify
from hqp.compress.search.candidate import Candidate, Quantised
from hqp.compress.search.draft import Draft
from hqp.ledger import Ledger
from hqp.records import BesideDense, Estimate, Precision, Quantization
from hqp.store import sha256_of

STEP = "beside dense"

# How the dense network is quantised to be timed: what it takes does not depend on its ranges.
TIMED = Quantization(calibrations=("minmax",), images=32)

# The mildest file that may be shipped takes little more than what the bound accepts: it is made and timed only where a
# dense network takes less than so many times what that takes.
CLOSE = 1.5

# Of a network that takes less, the calls take most, and what is left is noise.
LEAST_MS = 0.1


@dataclass(frozen=True)
class Speedup:
    """How many times as fast as a file another one is; none where the device tells no times."""

    estimate: Estimate | None


@dataclass(frozen=True)
class Dense:
    """The dense network in one precision: what may be shipped, and what takes as long and is made sooner."""

    shipped: Candidate
    timed: Candidate


def compare_with_dense(draft: Draft) -> None:
    """Puts a dense network in the place of what pruning found, where it is surely faster and holds the bound.

    The certificate falls back on files that are milder than the one that the bound accepts, and so slower. Where a
    dense network is faster than the mildest alone, the certificate falls back on the dense network.
    """
    if not _is_asked(draft):
        return
    dense = _networks(draft)
    file_ms, dense_ms = _timed(draft, [draft.shipped], dense)
    mildest = _mildest(draft)
    if mildest != draft.shipped and any(ms < CLOSE * file_ms[draft.shipped] for ms in dense_ms.values()):
        # What the bound accepts comes first: whatever is faster than that is faster than all.
        file_ms, dense_ms = _timed(draft, [draft.shipped, mildest], dense)
    draft.dense = BesideDense(file_ms[draft.shipped], dense_ms)
    if draft.dense.file_ms < LEAST_MS:
        return
    for step, precision in _faster_at_first_sight(file_ms, dense_ms):
        candidate = dense[precision].shipped
        speedup = _speedup(draft, draft.by_step[step], candidate)
        if speedup is not None and speedup.lower > 1 and draft.file_holds(candidate):
            draft.dense = replace(draft.dense, precision=precision, steps=step, speedup=speedup)
            _put_in_place(draft, candidate, step)
            return


def _is_asked(draft: Draft) -> bool:
    """Whether time alone is the aim, on a device that is at hand: a target is a limit, of which the mildest is best."""
    job, recipe = draft.job, draft.job.recipe
    return recipe.beside_dense and recipe.objective == "latency_ms" and job.is_timed and not job.targets.asked()


def _mildest(draft: Draft) -> int:
    """The pruning step of the slowest file that may be shipped."""
    milder = certify.milder(draft.shipped) if draft.job.recipe.alpha is not None else []
    return milder[0] if milder else draft.shipped


def _timed(
    draft: Draft, steps: list[int], dense: dict[Precision, Dense]
) -> tuple[dict[int, float], dict[Precision, float]]:
    """The ms of the files after these steps, and of the dense network in each precision, timed in turn."""
    those = [draft.by_step[step] for step in steps] + [one.timed for one in dense.values()]
    times_ms = draft.candidates.latencies_ms(those)
    return dict(zip(steps, times_ms, strict=False)), dict(zip(dense, times_ms[len(steps) :], strict=True))


def _networks(draft: Draft) -> dict[Precision, Dense]:
    """The dense network in each precision that the device runs and that the file, where it is dense, does not have."""
    job, whole = draft.job, draft.candidates.without({})
    networks: dict[Precision, Dense] = {}
    if draft.shipped and whole.quantised is not None:
        to_time = replace(whole, quantised=Quantised(TIMED, job.policy))
        chosen = draft.settled
        to_ship = whole.calibrated_by(chosen.calibration) if chosen else whole
        networks["int8"] = Dense(to_ship, to_time)
    for precision in job.dense:
        in_float = replace(whole, quantised=None, precision=precision)
        if in_float != draft.final:
            networks[precision] = Dense(in_float, in_float)
    return networks


def _faster_at_first_sight(
    file_ms: dict[int, float], dense_ms: dict[Precision, float]
) -> Iterator[tuple[int, Precision]]:
    """The files and the precisions in which the dense network takes less, the fastest first."""
    fastest_first = sorted(dense_ms, key=dense_ms.__getitem__)
    for step, ms in file_ms.items():
        for precision in fastest_first:
            if dense_ms[precision] < ms:
                yield step, precision


def _speedup(draft: Draft, file: Candidate, dense: Candidate) -> Estimate | None:
    """How many times as fast as a file the dense network is, timed in turn in fresh processes, once."""
    job = draft.job
    files = [draft.candidates.file(candidate) for candidate in (file, dense)]

    def timed(ledger: Ledger) -> Speedup:
        with ledger.step(STEP) as tally:
            tally.passes = len(files)
            return Speedup(job.speedup(*files))

    key = {"files": [sha256_of(one) for one in files], "device": job.device}
    return draft.candidates.record("speedup", key, Speedup, timed).estimate


def _put_in_place(draft: Draft, dense: Candidate, step: int) -> None:
    """Has the dense network stand in the place of what the bound accepts, or of the milder files alone."""
    draft.by_step[0] = dense
    if step == draft.shipped:
        draft.shipped = 0
