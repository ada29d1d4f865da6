"""What pruning is to reach beside the bound: it stops there, or says how far it came."""

from __future__ import annotations

from collections.abc import Callable

from hqp.compress.channels import groups
from hqp.compress.exporting import count
from hqp.compress.job import Draft, Job
from hqp.compress.search import bound, candidates

# A θ this far beyond the one that was asked for is told: two steps of 1% of the filters.
COARSE = 0.02


def stop(job: Job, draft: Draft, holds: Callable[[int], bool]) -> int:
    """The fewest pruning steps, of those shipped, that reach every target; all of them where no target is asked for.

    ``holds`` tells whether the file after so many steps keeps the bound. Where that of the fewest steps does not, one
    with more steps is shipped that does; but a θ that was asked for is not passed: there, steps are given back instead.
    Where a target is out of reach, the file that came nearest within the bound is shipped.
    """
    if not reached(job, draft, draft.shipped):
        return draft.shipped

    def enough(given_back: int) -> bool:
        return not _missed(job, draft, draft.shipped - given_back)

    fewest = draft.shipped - bound.bisect(enough, 0, draft.shipped + 1)
    if fewest == draft.shipped or holds(fewest):
        return fewest
    if _sparsity_alone(job) is not None:
        return bound.give_back(holds, fewest)
    return _next_that_holds(holds, fewest, draft.shipped)


def _next_that_holds(holds: Callable[[int], bool], step: int, last: int) -> int:
    """A step from ``step`` on that holds, asked 0, 1, 3, 7, ... further on; ``last`` was seen to hold."""
    stride = 1
    while step < last and not holds(step):
        step, stride = step + stride, 2 * stride
    return min(step, last)


def last(job: Job, draft: Draft) -> int:
    """The pruning step beyond which the certificate must not go: the first of the θ asked for, or the last there is."""
    wanted = _sparsity_alone(job)
    steps = range(len(draft.removals))
    enough = (step for step in steps if wanted is not None and sparsity(job, draft, step) >= wanted)
    return next(enough, steps[-1])


def _sparsity_alone(job: Job) -> float | None:
    """The θ that is asked for, where nothing else is: only then is it a place to stop at, and not a least."""
    return job.targets.sparsity if list(job.targets.asked()) == ["sparsity"] else None


def sparsity(job: Job, draft: Draft, step: int) -> float:
    """θ after so many steps: the share of all filters that is gone, 0 to 1."""
    return groups.filters_removed(draft.groups, draft.removals[step]) / job.filters


def reached(job: Job, draft: Draft, step: int) -> bool:
    """Whether there are targets and the file after so many steps reaches them all."""
    return bool(job.targets.asked()) and not _missed(job, draft, step)


def tell(job: Job, draft: Draft) -> None:
    """Says which targets the file that is shipped does not reach, since the bound or its certificate was in the way.

    A θ beyond the one that was asked for is said as well: pruning steps, of whole groups of channels, may be large.
    """
    if not job.targets.asked():
        return
    missed = _missed(job, draft, draft.shipped)
    if missed:
        job.warn(f"warning: within the bound {' and '.join(missed)}")
    wanted, shipped = job.targets.sparsity, sparsity(job, draft, draft.shipped)
    if wanted is not None and draft.shipped and shipped - wanted > COARSE:
        before = sparsity(job, draft, draft.shipped - 1)
        reason = f"the pruning step before has {_number(before)}" if before < wanted else "for the other targets"
        job.warn(f"warning: sparsity {_number(shipped)} is shipped, beyond {_number(wanted)}: {reason}")


def _missed(job: Job, draft: Draft, step: int) -> list[str]:
    """A sentence for each target that the file after so many steps does not reach."""
    values, wanted = _values(job, draft, step), job.targets
    found = []
    for name, limit in wanted.asked().items():
        value = values[name]()
        if value < limit if name == "sparsity" else value > limit:
            found.append(f"{name} {_number(value)} is reached, not {_number(limit)}")
    return found


def _values(job: Job, draft: Draft, step: int) -> dict[str, Callable[[], float]]:
    file = candidates.file(job, draft, step)
    return {
        "latency_ms": lambda: job.latency_ms(file),
        "bytes": lambda: float(file.stat().st_size),
        "macs": lambda: float(count.macs(file)),
        "sparsity": lambda: sparsity(job, draft, step),
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
