"""What pruning is to reach beside the bound: it stops there, or says how far it came."""

from __future__ import annotations

from collections.abc import Callable

from hqp.compress.exporting import count
from hqp.compress.job import Job
from hqp.compress.search import bound
from hqp.compress.search.draft import Draft

# A θ this far beyond the one that was asked for is told: two steps of 1% of the filters.
COARSE = 0.02


def stop(draft: Draft, holds: Callable[[int], bool]) -> int:
    """The fewest pruning steps, of those shipped, that reach every target; all of them where no target is asked for.

    ``holds`` tells whether the file after so many steps keeps the bound. Where that of the fewest steps does not, one
    with more steps is shipped that does; but a θ that was asked for is not passed: there, steps are given back instead.
    Where a target is out of reach, the file that came nearest within the bound is shipped.
    """
    if not reached(draft, draft.shipped):
        return draft.shipped

    def enough(given_back: int) -> bool:
        return not _missed(draft, draft.shipped - given_back)

    # The more is given back, the less is reached: by halves to the last that still reaches all.
    fewest = draft.shipped - bound.bisect(enough, 0, draft.shipped + 1)
    # What is shipped was seen to hold; a file of fewer steps as a rule does too, but INT8 is not monotone.
    if fewest == draft.shipped or holds(fewest):
        return fewest
    if _sparsity_alone(draft.job) is not None:
        return bound.give_back(holds, fewest)
    return _next_that_holds(holds, fewest, draft.shipped)


def _next_that_holds(holds: Callable[[int], bool], step: int, last: int) -> int:
    """A step from ``step`` on that holds, asked 0, 1, 3, 7, ... further on; ``last`` was seen to hold."""
    stride = 1
    while step < last and not holds(step):
        step += stride
        stride *= 2
    return min(step, last)


def last(draft: Draft) -> int:
    """The pruning step beyond which the certificate must not go: the first of the θ asked for, or the last there is."""
    if draft.ships_dense:
        # All that lies beyond is slower.
        return 0
    wanted, last_step = _sparsity_alone(draft.job), len(draft.by_step) - 1
    if wanted is None:
        return last_step
    enough = (step for step in range(last_step) if sparsity(draft, step) >= wanted)
    return next(enough, last_step)


def _sparsity_alone(job: Job) -> float | None:
    """The θ that is asked for, where nothing else is: only then is it a place to stop at, and not a least."""
    return job.targets.sparsity if list(job.targets.asked()) == ["sparsity"] else None


def sparsity(draft: Draft, step: int) -> float:
    """θ after so many steps: the share of all filters that is gone, 0 to 1."""
    removed = draft.candidates.filters_removed(draft.by_step[step])
    return removed / draft.job.filters


def reached(draft: Draft, step: int) -> bool:
    """Whether there are targets and the file after so many steps reaches them all."""
    return bool(draft.job.targets.asked()) and not _missed(draft, step)


def tell(draft: Draft) -> None:
    """Says which targets the file that is shipped does not reach, since the bound or its certificate was in the way.

    A θ beyond the one that was asked for is said as well: pruning steps, of whole groups of channels, may be large.
    """
    job = draft.job
    if not job.targets.asked():
        return
    missed = _missed(draft, draft.shipped)
    if missed:
        job.warn(f"warning: within the bound {' and '.join(missed)}")
    wanted, shipped = job.targets.sparsity, sparsity(draft, draft.shipped)
    if wanted is not None and draft.shipped and shipped - wanted > COARSE:
        before = sparsity(draft, draft.shipped - 1)
        reason = f"the pruning step before has {_number(before)}" if before < wanted else "for the other targets"
        job.warn(f"warning: sparsity {_number(shipped)} is shipped, beyond {_number(wanted)}: {reason}")


def _missed(draft: Draft, step: int) -> list[str]:
    """A sentence for each target that the file after so many steps does not reach."""
    values = _values(draft, step)
    sentences = []
    for name, limit in draft.job.targets.asked().items():
        value = values[name]()
        # θ is to be large, all else small.
        missed = value < limit if name == "sparsity" else value > limit
        if missed:
            sentences.append(f"{name} {_number(value)} is reached, not {_number(limit)}")
    return sentences


def _values(draft: Draft, step: int) -> dict[str, Callable[[], float]]:
    """What gives each value that may be a target: a latency is measured only where it is asked for."""
    file = draft.candidates.file(draft.by_step[step])
    return {
        "latency_ms": lambda: draft.job.latency_ms(file),
        "bytes": lambda: float(file.stat().st_size),
        "macs": lambda: float(count.macs(file)),
        "sparsity": lambda: sparsity(draft, step),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
