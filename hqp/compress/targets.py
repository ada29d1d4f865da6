"""What pruning is to reach beside the bound: it stops there, or says how far it came."""

from __future__ import annotations

from collections.abc import Callable

from hqp.compress import bound, candidates, count, groups
from hqp.compress.job import Draft, Job


def stop(job: Job, draft: Draft, holds: Callable[[int], bool]) -> int:
    """The fewest pruning steps, of those shipped, that reach every target; all of them where no target is asked for.

    ``holds`` tells whether the file after so many steps keeps the bound. Where a target is out of reach, the file that
    came nearest within the bound is shipped.
    """
    if not reached(job, draft, draft.shipped):
        return draft.shipped

    def enough(given_back: int) -> bool:
        return not _missed(job, draft, draft.shipped - given_back)

    fewest = draft.shipped - bound.bisect(enough, 0, draft.shipped + 1)
    return fewest if fewest == draft.shipped or holds(fewest) else draft.shipped


def reached(job: Job, draft: Draft, step: int) -> bool:
    """Whether there are targets and the file after so many steps reaches them all."""
    return bool(job.targets.asked()) and not _missed(job, draft, step)


def tell(job: Job, draft: Draft) -> None:
    """Says which targets the file that is shipped does not reach: the bound was in the way, or its certificate."""
    missed = _missed(job, draft, draft.shipped) if job.targets.asked() else []
    if missed:
        job.warn(f"warning: within the bound {' and '.join(missed)}")


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

    def sparsity() -> float:
        return groups.filters_removed(draft.groups, draft.removals[step]) / sum(groups.filters(job.model).values())

    return {
        "latency_ms": lambda: job.latency_ms(file),
        "bytes": lambda: float(file.stat().st_size),
        "macs": lambda: float(count.macs(file)),
        "sparsity": sparsity,
    }


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
