"""The accuracy bound, in whole images, the two searches that prune under it, and the way back."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Literal

from scipy.special import ndtri

from hqp.compress.network.accuracy import Early
from hqp.errors import HqpError
from hqp.records import Accuracy, Estimate
from hqp.stats.paired import HALF_AN_IMAGE, drop_interval, drop_pp

# A rejected pass stops early and costs a fraction of an accepted one, so galloping starts high: at δ = 1%, about where
# a recovered network begins to lose accuracy.
FIRST_PROBE = 32

# From there the search goes on, or back, by this share of it, then by twice that, and so on: both networks that were
# measured end within a share of the first probe, and either lost two candidates to a search that doubled.
FIRST_STRIDE = 1 / 8

# After which shares of the images a pass is looked at, and how much of the chance of a wrong acceptance each look may
# take. What is left for the end moves its limit by a fortieth of itself.
LOOKS = (0.1, 0.25, 0.4, 0.55, 0.75)
LOOK_SHARE = 0.05

# At a look a candidate is given up where this interval of what it will have lost at the end lies beyond what it may. To
# be wrong there, once in twenty, costs a pruning step and never the bound. Of 5,000 images a candidate that loses 1.6
# points under a bound of 1.5 takes 1,400 so, and all of them where it must be as clear as an acceptance is.
GIVEN_UP = 0.9

# The points of top-1 that were lost, and their upper limit.
Drop = tuple[float, float | None]


@dataclass(frozen=True)
class Bound:
    """How much accuracy a candidate may lose, of what the trained model has where both are judged alike.

    ``floor`` is the least number of correct images with which it can hold. ``looks`` are shares of the images after
    which a pass may end, since it is clear by then; with all of them, one that breaks the bound is accepted no more
    often than ``confidence`` says. A bound without a confidence that ``guesses`` ends a pass where its verdict is
    likely.

    Raises:
        HqpError: so few images cannot show it; see ``floor_correct``.
    """

    trained: Accuracy
    delta_max_pp: float
    confidence: float | None
    looks: tuple[float, ...] = ()
    guesses: bool = False
    floor: int = field(init=False)

    def __post_init__(self) -> None:
        confidence = self.confidence_after(self.trained.total)
        floor = floor_correct(self.trained.correct, self.trained.total, self.delta_max_pp, confidence)
        object.__setattr__(self, "floor", floor)

    def confidence_after(self, images: int) -> float | None:
        """The confidence of the two-sided interval after so many images: higher at a look than at the end."""
        if self.confidence is None:
            return None
        at_end = images >= self.trained.total
        share = 1 - LOOK_SHARE * len(self.looks) if at_end else LOOK_SHARE
        return 1 - share * (1 - self.confidence)

    def drop(self, candidate: Accuracy) -> Drop:
        """The points that a candidate lost on its images, and their upper limit, absent without a confidence."""
        if self.confidence is None:
            before = int(self.trained.correct_images[: candidate.total].sum())
            return 100 * (before - candidate.correct) / candidate.total, None
        drop = self._interval(candidate, self.confidence_after(candidate.total))
        return drop.value, drop.upper

    def _interval(self, candidate: Accuracy, confidence: float | None) -> Estimate:
        assert confidence is not None
        before = self.trained.correct_images[: candidate.total]
        return drop_pp(before, candidate.correct_images, confidence)

    @property
    def early(self) -> Early | None:
        """When a pass is looked at and what is decided there; ``None`` where it goes to its end."""
        if not self.looks or (self.confidence is None and not self.guesses):
            return None
        decide = self._is_likely if self.confidence is None else self._is_clear
        return Early(tuple(math.ceil(share * self.trained.total) for share in self.looks), decide)

    def _is_likely(self, so_far: Accuracy) -> bool | None:
        """Whether what is lost after all images will hardly be more than Δmax, or hardly less; ``None`` where neither.

        Either is wrong once in twenty.
        """
        least, most = self._drop_at_end(so_far)
        if most <= self.delta_max_pp:
            return True
        return False if least > self.delta_max_pp else None

    def _drop_at_end(self, so_far: Accuracy) -> tuple[float, float]:
        """Between which two what is lost after all images will be, with a probability of ``GIVEN_UP``.

        Of N images n are known: the drop at the end is spread about the one so far with variance s² (1/n - 1/N).
        """
        unknown = math.sqrt(1 - so_far.total / self.trained.total)
        drop = self._interval(so_far, GIVEN_UP)
        below, above = drop.value - drop.lower, drop.upper - drop.value
        return drop.value - below * unknown, drop.value + above * unknown

    def _is_clear(self, so_far: Accuracy) -> bool | None:
        """Whether the bound is sure to hold after these images, or hardly will in the end; ``None`` where neither."""
        drop = self._interval(so_far, self.confidence_after(so_far.total))
        if drop.upper <= self.delta_max_pp:
            return True
        return False if self._is_hopeless(so_far) else None

    def _is_hopeless(self, so_far: Accuracy) -> bool:
        """Whether what is lost after all images will hardly leave its limit within Δmax.

        The limit will be as much above it as the one after n of N images, times √(n/N).
        """
        known = so_far.total / self.trained.total
        at_end = self._interval(so_far, self.confidence_after(self.trained.total))
        may_lose = self.delta_max_pp - (at_end.upper - at_end.value) * math.sqrt(known)
        least, _ = self._drop_at_end(so_far)
        return least > may_lose

    def holds(self, candidate: Accuracy) -> bool:
        """Whether the upper limit of the drop is within Δmax, of a candidate that is not below the floor.

        Without a confidence the floor has said all there is.
        """
        _, upper_pp = self.drop(candidate)
        return upper_pp is None or upper_pp <= self.delta_max_pp


def floor_correct(trained_correct: int, total: int, delta_max_pp: float, confidence: float | None = None) -> int:
    """The least number of correct images, of ``total``, with which the bound can hold.

    Without ``confidence`` that is A_trained - A <= Δmax, exactly: ``delta_max_pp`` is the decimal that is written, not
    the binary number nearest to it. With it, the upper limit of the drop must be within Δmax, and the floor is that of
    the luckiest pairing, in which no image is gained.

    Raises:
        HqpError: the counts are no accuracy, Δmax is no number of points from 0 to 100, or so few images cannot show at
            that confidence that any drop is within it.
    """
    if not (total > 0 and 0 <= trained_correct <= total):
        raise HqpError(f"a baseline of {trained_correct} correct of {total} images", "0 <= correct <= total, total > 0")
    if not 0 <= delta_max_pp <= 100 or (confidence and not delta_max_pp):
        raise HqpError(f"Δmax is {delta_max_pp} points", "0 to 100 points of top-1", "--delta-max 1.5")
    allowed = math.floor(Fraction(str(delta_max_pp)) * total / 100)
    if confidence is not None:
        _require_enough(total, delta_max_pp, confidence)
        while allowed > 0 and drop_interval(allowed, 0, total, confidence)[1] > delta_max_pp / 100:
            allowed -= 1
    return max(0, trained_correct - allowed)


def _require_enough(total: int, delta_max_pp: float, confidence: float) -> None:
    """Sees that so many images can show at that confidence that a drop is within Δmax.

    Raises:
        HqpError: even if not one of them differed, they could not.
    """
    if drop_interval(0, 0, total, confidence)[1] > delta_max_pp / 100:
        raise HqpError(
            f"{total} images of 'selection' cannot show that a drop is within {delta_max_pp} points",
            f"{_least_images(delta_max_pp, confidence)} or more",
            "--delta-max with more points, or --method hqp_paper, which takes the drop as it is",
        )


def _least_images(delta_max_pp: float, confidence: float) -> int:
    """How many images show a drop within the bound where not one of them differs.

    Where none is gained, the upper limit D of ``drop_interval`` solves (ND - h)² = z² N D (1 - D), with half an image h
    lost of N = n + h: a quadratic in N, of which the larger root is meant.
    """
    deviation_squared = float(ndtri((1 + confidence) / 2)) ** 2
    limit = delta_max_pp / 100
    middle = 2 * HALF_AN_IMAGE + deviation_squared * (1 - limit)
    root = math.sqrt(middle * middle - 4 * HALF_AN_IMAGE**2)
    return math.ceil((middle + root) / (2 * limit) - HALF_AN_IMAGE)


def search(
    holds: Callable[[int], bool],
    steps: int,
    how: Literal["linear", "galloping", "none"],
    least: int = 0,
    finest: float = 0.0,
) -> int:
    """The number of pruning steps to accept: 0, or one for which ``holds`` was seen to be true.

    ``holds(step)`` tells whether the bound holds after that many steps; the dense model holds, so 0 is never asked.
    ``linear`` is Algorithm 1 of arXiv 2602.06069: the first rejected step is rolled back and ends the search.
    ``galloping`` starts at ``FIRST_PROBE``, goes on until a rejection or back until an acceptance, in strides that
    double, then bisects between the two: at most 2 log2(steps) + 2 calls. Where ``holds`` is monotone, both give the
    same number, or galloping one that is less than the share ``finest`` of it before that.

    ``least`` is the first step that would be better than what another search accepted, or 0: galloping first asks for
    it, and where it does not hold, or is not among the steps, answers 0, since this search would only lose.
    """
    if how == "none":
        return 0
    return _linear(holds, steps) if how == "linear" else _galloping(holds, steps, least, finest)


def _linear(holds: Callable[[int], bool], steps: int) -> int:
    for step in range(1, steps + 1):
        if not holds(step):
            return step - 1
    return max(steps, 0)


def _galloping(holds: Callable[[int], bool], steps: int, least: int, finest: float) -> int:
    probe = least or min(FIRST_PROBE, steps)
    if not 0 < probe <= steps:
        return 0
    stride = max(1, round(FIRST_STRIDE * probe))
    if holds(probe):
        return _onwards(holds, probe, steps, stride, finest)
    return 0 if least else _backwards(holds, probe, stride, finest)


def _onwards(holds: Callable[[int], bool], accepted: int, steps: int, stride: int, finest: float) -> int:
    """The last step to accept, of those from an accepted one on."""
    while accepted < steps:
        probe = min(accepted + stride, steps)
        if not holds(probe):
            return bisect(holds, accepted, probe, finest)
        accepted, stride = probe, 2 * stride
    return accepted


def _backwards(holds: Callable[[int], bool], rejected: int, stride: int, finest: float = 0.0) -> int:
    """The last step to accept, of those before a rejected one; 0, which is never asked, holds."""
    probe = max(0, rejected - stride)
    while probe > 0 and not holds(probe):
        rejected, stride = probe, 2 * stride
        probe = max(0, rejected - stride)
    return bisect(holds, probe, rejected, finest)


def give_back(holds: Callable[[int], bool], accepted: int) -> int:
    """The number of pruning steps to ship, of those accepted: one for which ``holds`` was seen to be true, or 0.

    Asked is first ``accepted`` itself, then 1, 2, 4, ... steps less, and between the last two by bisection: as a rule
    little has to be given back.
    """
    return accepted if not accepted or holds(accepted) else _backwards(holds, accepted, 1)


def bisect(holds: Callable[[int], bool], accepted: int, rejected: int, finest: float = 0.0) -> int:
    """The greatest step of ``accepted`` to ``rejected`` - 1 that holds, where ``holds`` is monotone; by halves.

    It ends where what is left between the two is no more than the share ``finest`` of what is accepted.
    """
    while rejected - accepted > max(1, finest * accepted):
        middle = (accepted + rejected) // 2
        if holds(middle):
            accepted = middle
        else:
            rejected = middle
    return accepted
