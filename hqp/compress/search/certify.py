"""The certificate: with probability at least 1 - α, the file that is shipped loses no more than Δmax.

Candidates along the pruning path are tested on ``test``, from the one that ``selection`` accepts on to more aggressive
ones, until one is not shown to be within Δmax; the last that was is shipped. They go on beyond what ``selection``
accepts, which searched the path and so is held to a stricter confidence. Since their order is fixed before ``test`` is
looked at, each takes the same level, without a correction for their number, and the chance that one is wrongly shown is
at most that level. Where already the first is not shown, milder ones are tested likewise, from the mildest on, at what
of α that level leaves; where the mildest is not shown either, it is shipped, uncertified: what is told is always of the
file that is shipped.
Source: A. Angelopoulos et al., "Learn then Test", arXiv 2110.01052 (2021), fixed-sequence testing.
"""

from __future__ import annotations

from dataclasses import replace

from hqp.compress.search import targets
from hqp.compress.search.draft import Draft
from hqp.records import Certificate
from hqp.stats.paired import drop_pp
from hqp.stats.power import samples_to_decide

# Milder candidates lie at so much of the way to what ``selection`` accepts, and are tested at so much of α. As a rule
# they are neither made nor judged: of six searches on signs one needed them. The images by which the accepted one was
# not shown to hold judge these, too, so that the mildest has to lose far less. Of 8,000 images a fifth of α, not a
# tenth, lowers their limit by 0.05 points, and raises that of the others by 0.01.
MILDER, MILDER_LEVEL = (0.5, 0.7, 0.85), 0.2

# How much further each one beyond that goes. It costs a recovery, a calibration and a pass over ``test``.
STRIDE = 0.05

# A search is fine enough that ends within this share of what it accepts: what lies beyond is tested in strides, and a
# file on ``test`` takes no longer than a module on ``selection`` whose verdict comes late.
SEARCHED_WITHIN = 0.125


def path(accepted: int, last: int) -> list[int]:
    """The pruning steps whose files are tested, ascending: what ``selection`` accepts, then on to the last."""
    steps = [accepted]
    while steps[-1] < last:
        further = steps[-1] + max(1, round(STRIDE * steps[-1]))
        steps.append(min(further, last))
    return steps


def milder(accepted: int) -> list[int]:
    """The steps whose files are tested where that of the accepted one is not shown to hold, ascending; may be none."""
    steps = {max(1, int(share * accepted)) for share in MILDER}
    return sorted(step for step in steps if step < accepted)


def _instead(draft: Draft) -> list[int]:
    """The milder steps, or the dense network in their place, where that is faster than the mildest."""
    if draft.dense is None or draft.dense.precision is None:
        return milder(draft.shipped)
    return [0] if draft.shipped else []


def certify(draft: Draft) -> None:
    """Ships the last candidate that ``test`` shows to be within Δmax; where it shows none, the mildest, uncertified.

    Either way the certificate tells the numbers of the file that is shipped.
    """
    if draft.job.recipe.alpha is None:
        return
    steps, instead = path(draft.shipped, targets.last(draft)), _instead(draft)
    certificate = _last_shown(draft, steps, 1 - MILDER_LEVEL if instead else 1.0)
    if instead and not certificate.certified:
        certificate = _last_shown(draft, instead, MILDER_LEVEL, tested_before=1)
    draft.certificate = certificate


def _last_shown(draft: Draft, steps: list[int], share: float, tested_before: int = 0) -> Certificate:
    """Ships the last of these candidates before one that is not shown to hold at this share of α, or the first."""
    first, *others = steps
    draft.shipped, certificate = first, _tested(draft, first, share, tested_before + 1)
    for number, step in enumerate(others, tested_before + 2):
        if not certificate.certified or targets.reached(draft, draft.shipped):
            break
        tested = _tested(draft, step, share, number)
        if not tested.certified:
            return replace(certificate, candidates=number)
        draft.shipped, certificate = step, tested
    return certificate


def _tested(draft: Draft, step: int, share: float, number: int) -> Certificate:
    """What ``test`` says of the file after so many steps, the ``number``-th that it is asked about.

    The limit is one-sided, at this share of α.
    """
    alpha, delta_max_pp = draft.job.recipe.alpha, draft.job.delta_max_pp
    assert alpha is not None
    candidate = draft.by_step[step]
    trained, tested = draft.candidates.trained_on_test, draft.candidates.on_test(candidate)
    # The end of a two-sided interval at 1 - 2α is the one-sided limit at 1 - α.
    drop = drop_pp(trained.correct_images, tested.correct_images, 1 - 2 * share * alpha)
    holds = drop.upper <= delta_max_pp
    draft.note("certificate", candidate, (drop.value, drop.upper), holds)
    # More images show what is so; a drop that is measured above Δmax hardly is.
    within_reach = not holds and drop.value <= delta_max_pp
    needed = samples_to_decide(drop, delta_max_pp, tested.total) if within_reach else None
    return Certificate(alpha, delta_max_pp, holds, drop.value, drop.upper, tested.total, needed, number)
