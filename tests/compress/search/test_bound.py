"""The bound in whole images, the two searches, and giving back."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.compress.search.bound import LOOKS, Bound, floor_correct, give_back, search
from hqp.errors import HqpError
from hqp.records import Accuracy
from hqp.stats.paired import drop_interval


@pytest.mark.parametrize(
    ("correct", "total", "delta", "floor"),
    [
        (4700, 5000, 1.5, 4625),  # exactly 75 images
        (4700, 5000, 0.0, 4700),
        (4700, 5000, 0.01, 4700),  # half an image
        (4700, 5000, 0.02, 4699),
        (9, 1000, 0.7, 2),  # 0.7 / 100 * 1000 is 6.999999999999999 in binary, which would give 3
        (3, 100, 50, 0),
        (20, 20, 100, 0),
    ],
)
def test_the_floor_is_exact(correct: int, total: int, delta: float, floor: int) -> None:
    assert floor_correct(correct, total, delta) == floor


@given(st.integers(1, 50_000), st.data(), st.integers(0, 10_000))
def test_the_floor_is_the_least_that_holds(total: int, data: st.DataObject, hundredths: int) -> None:
    correct = data.draw(st.integers(0, total))
    delta = Fraction(hundredths, 100)
    floor = floor_correct(correct, total, hundredths / 100)

    def drop_pp(count: int) -> Fraction:
        return Fraction(correct - count, total) * 100

    assert drop_pp(floor) <= delta
    assert floor == 0 or drop_pp(floor - 1) > delta


@pytest.mark.parametrize("delta", [-0.1, 101, math.nan, math.inf])
def test_a_bound_that_is_none_is_refused(delta: float) -> None:
    with pytest.raises(HqpError, match="Δmax is"):
        floor_correct(90, 100, delta)


@pytest.mark.parametrize(("correct", "total"), [(0, 0), (11, 10), (-1, 10)])
def test_counts_that_are_no_accuracy_are_refused(correct: int, total: int) -> None:
    with pytest.raises(HqpError, match="a baseline of"):
        floor_correct(correct, total, 1.5)


@given(st.integers(700, 6000), st.sampled_from([0.9, 0.998]), st.integers(0, 400), st.integers(0, 400))
def test_below_the_floor_of_a_limit_no_pairing_holds(total: int, confidence: float, lost: int, gained: int) -> None:
    correct = total // 2
    floor = floor_correct(correct, total, 1.5, confidence)
    assert drop_interval(correct - floor, 0, total, confidence)[1] <= 0.015
    lost, gained = min(lost, correct), min(gained, total - correct)
    if correct - lost + gained < floor:
        assert drop_interval(lost, gained, total, confidence)[1] > 0.015


def test_too_few_images_to_show_the_bound_are_refused_with_how_many_it_takes() -> None:
    with pytest.raises(HqpError, match=r"690 images of 'selection' cannot show .* 1\.5 points; 692 or more"):
        floor_correct(600, 690, 1.5, 0.998)
    with pytest.raises(HqpError, match="cannot show"):
        floor_correct(600, 691, 1.5, 0.998)
    assert floor_correct(600, 692, 1.5, 0.998) == 600


class Judge:
    """A bound that holds at the steps it is given, and remembers what it was asked."""

    def __init__(self, holding: frozenset[int]) -> None:
        self.holding, self.asked = holding, list[int]()

    def __call__(self, step: int) -> bool:
        self.asked.append(step)
        return step in self.holding


def test_linear_rolls_the_first_rejected_step_back() -> None:
    judge = Judge(frozenset({1, 2, 3, 5, 6}))
    assert search(judge, 10, "linear") == 3
    assert judge.asked == [1, 2, 3, 4]


def test_galloping_doubles_its_strides_then_bisects() -> None:
    judge = Judge(frozenset(range(1, 24)))
    assert search(judge, 100, "galloping") == 23
    assert judge.asked == [32, 28, 20, 24, 22, 23]
    judge = Judge(frozenset(range(1, 42)))
    assert search(judge, 100, "galloping") == 41
    assert judge.asked == [32, 36, 44, 40, 42, 41]


def test_galloping_ends_at_the_last_step() -> None:
    judge = Judge(frozenset(range(1, 100)))
    assert search(judge, 11, "galloping") == 11
    assert judge.asked == [11]


@given(st.integers(0, 300), st.integers(0, 300))
def test_on_a_monotone_bound_both_find_the_same(steps: int, limit: int) -> None:
    holding = frozenset(range(1, limit + 1))
    linear, galloping = Judge(holding), Judge(holding)
    assert search(linear, steps, "linear") == search(galloping, steps, "galloping") == min(steps, limit)
    assert len(galloping.asked) <= (2 * math.log2(steps) + 2 if steps else 0)


@given(st.integers(0, 60), st.frozensets(st.integers(1, 60)), st.sampled_from(["linear", "galloping"]))
def test_what_is_accepted_was_seen_to_hold(steps: int, holding: frozenset[int], how: str) -> None:
    judge = Judge(holding)
    accepted = search(judge, steps, how)  # type: ignore[arg-type]
    assert accepted == 0 or (accepted in holding and accepted in judge.asked)
    assert accepted <= steps and all(1 <= step <= steps for step in judge.asked)
    assert len(set(judge.asked)) == len(judge.asked)


@given(st.integers(0, 200), st.integers(0, 200), st.integers(1, 200))
def test_a_search_that_cannot_beat_another_is_given_up_after_one_question(most: int, steps: int, beat: int) -> None:
    judge = Judge(frozenset(range(1, min(most, steps) + 1)))
    found = search(judge, steps, "galloping", beat + 1)
    best = min(most, steps)
    assert found == (best if best > beat else 0)
    if best <= beat:
        assert judge.asked == ([beat + 1] if beat < steps else [])


def test_giving_back_asks_nearby_first_and_then_bisects() -> None:
    judge = Judge(frozenset(range(1, 17)))
    assert give_back(judge, 20) == 16
    assert judge.asked == [20, 19, 17, 13, 15, 16]


@given(st.integers(0, 100), st.frozensets(st.integers(1, 100)))
def test_what_is_shipped_was_seen_to_hold(accepted: int, holding: frozenset[int]) -> None:
    judge = Judge(holding)
    shipped = give_back(judge, accepted)
    assert shipped == 0 or (shipped in judge.asked and shipped in holding)
    assert shipped == accepted if accepted in holding else shipped < accepted or not accepted
    assert len(set(judge.asked)) == len(judge.asked) and all(1 <= step <= accepted for step in judge.asked)


def test_a_search_that_need_not_be_finer_ends_within_a_share_of_what_it_accepts() -> None:
    asked: list[int] = []

    def holds(step: int) -> bool:
        asked.append(step)
        return step <= 58

    assert search(holds, 100, "galloping", finest=0.05) == 58 and asked == [32, 36, 44, 60, 52, 56, 58]
    asked.clear()
    assert search(holds, 100, "galloping") == 58 and asked == [32, 36, 44, 60, 52, 56, 58, 59]


def test_who_is_given_up_at_a_look_would_hardly_have_held_and_saves_most_images(
    make_accuracy: Callable[..., Accuracy],
) -> None:
    """Of 5,000 images 1% are gained, and the drop more are lost; a pass is followed look by look."""
    trained = make_accuracy(np.arange(5000) % 25 > 0, "selection")
    bound = Bound(trained, 1.5, 0.998, looks=LOOKS)
    assert bound.early is not None
    draws = np.random.default_rng(0)
    seen: dict[float, tuple[int, int, float]] = {}
    for drop in (0.005, 0.016):
        held = wrong = images = 0
        for _ in range(100):
            before = trained.correct_images
            flipped = draws.random(5000) < np.where(before, (drop + 0.01) / 0.96, 0.25)
            after = np.where(flipped, ~before, before)
            answers = [bound.early.holds(make_accuracy(after[:count], "selection")) for count in bound.early.after]
            first = next((place for place, answer in enumerate(answers) if answer is not None), None)
            images += 5000 if first is None else bound.early.after[first]
            whole = bound.holds(make_accuracy(after, "selection"))
            held += whole
            wrong += whole and first is not None and answers[first] is False
        seen[drop] = held, wrong, images / 100
    (held, wrong, _), (held_beyond, _, images_beyond) = seen.values()
    assert 60 < held < 100 and wrong <= 0.1 * held, "given up wrongly about once in twenty"
    assert held_beyond == 0 and images_beyond < 1500


def test_a_bound_holds_up_to_its_floor_or_where_its_upper_limit_does(make_accuracy: Callable[..., Accuracy]) -> None:
    def losing(images: int) -> Accuracy:
        return make_accuracy(np.arange(1000) >= images, "selection")

    trained = losing(0)
    assert Bound(trained, 1.5, None).floor == 985
    limited = Bound(trained, 1.5, 0.998)
    assert limited.floor == floor_correct(1000, 1000, 1.5, 0.998) > 985
    least = 1000 - limited.floor
    assert (limited.holds(losing(least)), limited.holds(losing(least + 1))) == (True, False)
    with pytest.raises(HqpError, match=r"10 images of 'selection' cannot show that a drop is within 1\.5 points"):
        Bound(make_accuracy(np.ones(10, dtype=bool), "selection"), 1.5, 0.998)


def test_the_looks_and_the_end_share_the_chance_of_a_wrong_acceptance(make_accuracy: Callable[..., Accuracy]) -> None:
    trained = make_accuracy(np.ones(1000, dtype=bool), "selection")
    bound = Bound(trained, 1.5, 0.998, looks=LOOKS)
    assert bound.early is not None and bound.early.after == (100, 250, 400, 550, 750)
    shares = [bound.confidence_after(images) for images in (*bound.early.after, 1000)]
    assert shares == pytest.approx([1 - 0.0001] * 5 + [1 - 0.0015])
    assert sum(1 - share for share in shares if share) == pytest.approx(1 - 0.998)
    assert Bound(trained, 1.5, None, looks=LOOKS).early is None, "the drop itself is known at the end alone"
    assert Bound(trained, 1.5, 0.998).early is None


def test_a_bound_without_confidence_guesses_at_a_look_where_it_may(make_accuracy: Callable[..., Accuracy]) -> None:
    trained = make_accuracy(np.ones(8000, dtype=bool), "selection")
    bound = Bound(trained, 1.5, None, LOOKS, guesses=True)
    assert bound.early is not None and bound.early.after == (800, 2000, 3200, 4400, 6000)
    lost = range(10, 60)
    answers = [bound.early.holds(make_accuracy(np.arange(2000) >= images, "selection")) for images in lost]
    # The drop at the end lies about the one so far, so much nearer than the drop of as many images anew would.
    intervals = [drop_interval(images, 0, 2000, 0.9) for images in lost]
    narrowed = math.sqrt(1 - 2000 / 8000)
    for images, answer, (lower, upper) in zip(lost, answers, intervals, strict=True):
        drop = images / 2000
        within = drop + (upper - drop) * narrowed <= 0.015
        beyond = drop - (drop - lower) * narrowed > 0.015
        assert answer == (True if within else False if beyond else None)
    assert {*answers} == {True, False, None}


def test_the_drop_of_a_pass_that_ended_early_is_of_its_images(make_accuracy: Callable[..., Accuracy]) -> None:
    trained = make_accuracy(np.arange(1000) >= 100, "selection")
    bound = Bound(trained, 1.5, None, LOOKS, guesses=True)
    assert bound.drop(make_accuracy(np.arange(200) >= 104, "selection")) == (2.0, None)


def test_a_look_decides_where_the_limits_are_clear_of_the_bound(make_accuracy: Callable[..., Accuracy]) -> None:
    trained = make_accuracy(np.ones(8000, dtype=bool), "selection")
    bound = Bound(trained, 1.5, 0.998, looks=LOOKS)
    assert bound.early is not None
    answers = {}
    for lost in range(0, 90):
        so_far = make_accuracy(np.arange(2000) >= lost, "selection")
        answers[lost] = bound.early.holds(so_far)
    # One-sided at 99.995%.
    within = [lost for lost in answers if drop_interval(lost, 0, 2000, 1 - 0.0001)[1] <= 0.015]
    assert [lost for lost, answer in answers.items() if answer] == within == list(range(9))
    # 1.5 points are 30 images; what is given up need not be beyond that, since its limit must be within 1.5 points.
    given_up = [lost for lost, answer in answers.items() if answer is False]
    assert given_up == list(range(given_up[0], 90)) and given_up[0] == 26
    assert bound.drop(make_accuracy(np.arange(2000) >= 10, "selection"))[0] == pytest.approx(0.5)
