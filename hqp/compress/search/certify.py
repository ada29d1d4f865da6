"""The certificate: with probability at least 1 - α, the file that is shipped loses no more than Δmax.

Candidates along the pruning path are tested on ``test`` from mild to aggressive, each at the whole α, until one is not
shown to be within Δmax; the last that was is shipped. Where already the first is not, that one is shipped, uncertified:
what is told is always of the file that is shipped. Candidates go on beyond what ``selection`` accepts, which searched
the path and so is held to a stricter confidence. Since the order is fixed before ``test`` is looked at, the chance of
certifying a file that breaks Δmax is at most α, without a correction for their number.
Source: A. Angelopoulos et al., "Learn then Test", arXiv 2110.01052 (2021), fixed-sequence testing.
"""

from __future__ import annotations

from dataclasses import replace

from hqp.compress.search import targets
from hqp.compress.search.draft import Draft
from hqp.records import Certificate
from hqp.stats.paired import drop_pp
from hqp.stats.power import samples_to_decide

# Of the way to what ``selection`` accepts: the first is mild enough to hold where that may not.
SHARES = (0.75, 0.85, 0.925, 1.0)

# How much further each one beyond that goes. It costs a recovery, a calibration and a pass over ``test``.
STRIDE = 0.05


def path(accepted: int, last: int) -> list[int]:
    """The pruning steps whose files are tested, ascending: to what ``selection`` accepts, then on to the last."""
    steps = sorted({round(share * accepted) for share in SHARES})
    while steps[-1] < last:
        further = steps[-1] + max(1, round(STRIDE * steps[-1]))
        steps.append(min(further, last))
    return steps


def _order(draft: Draft) -> list[int]:
    """The pruning steps whose files are tested; the dense network in the place of milder ones than was accepted.

    That is where it is faster than the mildest of them.
    """
    steps = path(draft.shipped, targets.last(draft))
    if draft.dense is None or draft.dense.precision is None:
        return steps
    return [0, *(step for step in steps if step >= max(1, draft.shipped))]


def certify(draft: Draft) -> None:
    """Ships the last candidate that ``test`` shows to be within Δmax; where it shows none, the first, uncertified.

    Either way the certificate tells the numbers of the file that is shipped.
    """
    alpha = draft.job.recipe.alpha
    if alpha is None:
        return
    certificate: Certificate | None = None
    for number, step in enumerate(_order(draft), 1):
        tested = _tested(draft, step, alpha, number)
        if certificate is not None and not tested.certified:
            certificate = replace(certificate, candidates=number)
            break
        draft.shipped, certificate = step, tested
        if not tested.certified or targets.reached(draft, step):
            break
    draft.certificate = certificate


def _tested(draft: Draft, step: int, alpha: float, number: int) -> Certificate:
    """What ``test`` says of the file after so many steps, the ``number``-th that it is asked about.

    The limit is one-sided at 1 - α.
    """
    delta_max_pp = draft.job.delta_max_pp
    candidate = draft.by_step[step]
    trained, tested = draft.candidates.trained_on_test, draft.candidates.on_test(candidate)
    # The end of a two-sided interval at 1 - 2α is the one-sided limit at 1 - α.
    drop = drop_pp(trained.correct_images, tested.correct_images, 1 - 2 * alpha)
    holds = drop.upper <= delta_max_pp
    draft.note("certificate", candidate, (drop.value, drop.upper), holds)
    # More images show what is so; a drop that is measured above Δmax hardly is.
    within_reach = not holds and drop.value <= delta_max_pp
    needed = samples_to_decide(drop, delta_max_pp, tested.total) if within_reach else None
    return Certificate(alpha, delta_max_pp, holds, drop.value, drop.upper, tested.total, needed, number)
