"""One block on recorded sessions: what is opened, in which order, how long it is warmed up and timed, what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from hqp.errors import HqpError
from hqp.measure import block
from hqp.records import Block

Event = tuple[str, ...]
STATE = {"mhz": 2600.0}


class Arm:
    """Sessions of one arm, each inference of which takes ``times_ms`` of its number."""

    def __init__(self, name: str, log: list[Event], times_ms: Callable[[int], float]) -> None:
        self.name, self.log, self.times_ms = name, log, times_ms

    @contextmanager
    def __call__(self) -> Iterator[Session]:
        self.log.append((self.name, "open"))
        yield Session(self)
        self.log.append((self.name, "close"))


class Session:
    def __init__(self, arm: Arm) -> None:
        self.arm, self.done = arm, 0

    def time(self, iterations: int, /) -> list[float]:
        self.arm.log.append((self.arm.name, f"time {iterations}"))
        start, self.done = self.done, self.done + iterations
        return [self.arm.times_ms(start + number) for number in range(iterations)]


def watch(
    log: list[Event], reason: str | None = None
) -> Callable[[], Callable[[], tuple[dict[str, float], str | None]]]:
    def begin() -> Callable[[], tuple[dict[str, float], str | None]]:
        log.append(("watch", "begin"))

        def end() -> tuple[dict[str, float], str | None]:
            log.append(("watch", "end"))
            return STATE, reason

        return end

    return begin


def run(
    a: Callable[[int], float], b: Callable[[int], float], first: bool = True, reason: str | None = None, least: int = 5
) -> tuple[Block | str, list[Event]]:
    log: list[Event] = []
    arms = (Arm("a", log, a), Arm("b", log, b))
    return block.timed(*arms, reference_first=first, watch=watch(log, reason), iterations=least), log


@pytest.mark.parametrize(("reference_first", "first", "second"), [(True, "a", "b"), (False, "b", "a")])
def test_both_arms_are_opened_then_each_is_warmed_and_timed_in_one_piece(
    reference_first: bool, first: str, second: str
) -> None:
    timed, log = run(lambda _: 10.0, lambda _: 20.0, reference_first)
    piece = [f"time {block.PIECE_ITERATIONS}"] * 3  # the first, and two that are no faster
    assert log == [
        (first, "open"),
        (second, "open"),
        ("watch", "begin"),
        *((first, event) for event in [*piece, "time 5"]),
        *((second, event) for event in [*piece, "time 5"]),
        ("watch", "end"),
        (second, "close"),
        (first, "close"),
    ]
    assert timed == Block((10.0,) * 5, (20.0,) * 5, state=STATE)


def test_an_arm_is_timed_for_fifty_milliseconds_or_the_iterations_whichever_is_longer() -> None:
    timed, _ = run(lambda _: 0.5, lambda _: 25.0, least=5)
    assert isinstance(timed, Block)
    assert (len(timed.reference_ms), len(timed.candidate_ms)) == (100, 5)
    timed, _ = run(lambda _: 0.5, lambda _: 25.0, least=150)
    assert isinstance(timed, Block)
    assert (len(timed.reference_ms), len(timed.candidate_ms)) == (150, 150)


def test_an_arm_that_gets_faster_than_its_warm_up_told_is_still_timed_for_fifty_milliseconds() -> None:
    timed, _ = run(lambda number: 4.0 if number < 20 else 1.0, lambda _: 10.0)
    assert isinstance(timed, Block)
    assert sum(timed.reference_ms) >= block.LEAST_MS


def test_a_session_is_warmed_up_until_it_gets_no_faster() -> None:
    log: list[Event] = []
    falling = Session(Arm("a", log, lambda number: max(1.0, 10.0 - number)))
    assert block.warm_up(falling) == 1.0
    # Steady from the ninth inference on, and no piece after two that are no faster.
    assert 9 + 2 * block.PIECE_ITERATIONS <= falling.done <= 9 + 4 * 5
    steady = Session(Arm("a", log, lambda _: 10.0))
    block.warm_up(steady)
    assert steady.done == 3 * block.PIECE_ITERATIONS


def test_a_session_that_never_gets_steady_is_warmed_up_for_two_seconds() -> None:
    ever_faster = Session(Arm("a", [], lambda number: 100 * 0.99**number))
    block.warm_up(ever_faster)
    spent_ms = sum(100 * 0.99**number for number in range(ever_faster.done))
    assert block.LONGEST_WARM_UP_MS < spent_ms < block.LONGEST_WARM_UP_MS + 300


def test_a_tool_that_warms_up_itself_is_not_warmed_up() -> None:
    log: list[Event] = []
    tool = Session(Arm("a", log, lambda _: 20.0))
    assert block._steady_times(tool, 5, warms_up=False) == [20.0] * 5
    assert log == [("a", "time 5")]


def test_a_block_in_which_the_machine_was_disturbed_is_its_reason() -> None:
    assert run(lambda _: 10.0, lambda _: 10.0, reason="other processes")[0] == "other processes"


@pytest.mark.parametrize(
    ("time_ms", "told"), [(0.0, "0"), (-1.5, "-1.5"), (float("inf"), "inf"), (float("nan"), "nan")]
)
@pytest.mark.parametrize("at", [0, 12])
def test_a_time_that_cannot_be_disturbs_its_block_also_in_the_warm_up(time_ms: float, told: str, at: int) -> None:
    timed, log = run(lambda _: 10.0, lambda number: time_ms if number >= at else 10.0)
    assert timed == f"the runtime told a time of {told} ms"
    assert ("watch", "end") in log


def test_an_arm_that_cannot_be_opened_closes_the_other() -> None:
    log: list[Event] = []

    @contextmanager
    def refused() -> Iterator[Session]:
        raise HqpError("refused")
        yield

    with pytest.raises(HqpError, match="refused"):
        block.timed(Arm("a", log, lambda _: 1.0), refused, reference_first=True, watch=watch(log))
    assert log == [("a", "open")]
