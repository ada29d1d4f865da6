"""The sampler on recorded sessions: what decides is what is opened, in which order, and what is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import pytest

from hqp.errors import HqpError
from hqp.measure import sampler
from hqp.records import Block, PairedLatency

Event = tuple[str, ...]


class Arm:
    """Sessions of one arm; each sample is 100 * instance + the number of the inference, so its origin can be read."""

    def __init__(self, name: str, log: list[Event]) -> None:
        self.name, self.log, self.opened, self.open_now = name, log, 0, 0

    @contextmanager
    def __call__(self) -> Iterator[Session]:
        self.opened += 1
        self.open_now += 1
        self.log.append((self.name, "open"))
        yield Session(self.name, self.log, 100.0 * self.opened)
        self.open_now -= 1
        self.log.append((self.name, "close"))


class Session:
    def __init__(self, name: str, log: list[Event], number: float) -> None:
        self.name, self.log, self.number = name, log, number

    def time(self, iterations: int, /) -> list[float]:
        self.log.append((self.name, f"time {iterations}"))
        start = self.number
        self.number += iterations
        return [start + index for index in range(iterations)]


def reasons(values: Iterable[str | None]) -> sampler.Guard:
    iterator = iter(values)
    return lambda: lambda: next(iterator)


def run(log: list[Event], **options: object) -> PairedLatency:
    given = {"warmups": 3, "rounds": 2, "iterations": 2, **options}
    return sampler.sample(Arm("a", log), Arm("b", log), reference_sha256="f" * 64, **given)  # type: ignore[arg-type]


def firsts(log: list[Event]) -> list[str]:
    """Which arm was timed first in each block."""
    timed = [name for name, event in log if event.startswith("time 3")]
    return timed[::2]


def test_a_block_opens_both_arms_then_warms_and_times_each_in_one_piece() -> None:
    log: list[Event] = []
    run(log, rounds=1)
    first, second = ("a", "b") if log[0][0] == "a" else ("b", "a")
    assert log == [
        (first, "open"),
        (second, "open"),
        (first, "time 3"),
        (first, "time 2"),
        (second, "time 3"),
        (second, "time 2"),
        (second, "close"),
        (first, "close"),
    ]


def test_samples_are_those_after_the_warm_ups_of_a_fresh_pair_whichever_arm_went_first() -> None:
    latency = run([], rounds=2)
    assert latency.reference_sha256 == "f" * 64
    assert latency.blocks == (Block((103.0, 104.0), (103.0, 104.0)), Block((203.0, 204.0), (203.0, 204.0)))
    assert latency.disturbed == ()


def test_the_arms_are_not_exchanged() -> None:
    log: list[Event] = []
    slow = Arm("slow", log)
    slow.opened = 10
    latency = sampler.sample(Arm("fast", log), slow, reference_sha256="", warmups=0, rounds=4, iterations=1)
    assert [block.reference_ms for block in latency.blocks] == [(100.0,), (200.0,), (300.0,), (400.0,)]
    assert [block.candidate_ms for block in latency.blocks] == [(1100.0,), (1200.0,), (1300.0,), (1400.0,)]


def test_each_arm_goes_first_in_half_of_the_blocks_in_an_order_that_the_seed_decides() -> None:
    orders = []
    for seed in (0, 0, 1, 2):
        log: list[Event] = []
        run(log, rounds=20, seed=seed)
        orders.append(firsts(log))
    assert all(order.count("a") == 10 for order in orders)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3]
    assert all(set(pair) == {"a", "b"} for order in orders for pair in zip(order[::2], order[1::2], strict=True))


def test_a_disturbed_block_is_dropped_in_both_arms_named_and_repeated() -> None:
    done: list[int] = []
    latency = run([], rounds=2, guard=reasons([None, "busy", None]), advance=done.append)
    assert latency.blocks == (Block((103.0, 104.0), (103.0, 104.0)), Block((303.0, 304.0), (303.0, 304.0)))
    assert latency.disturbed == ("busy",)
    assert done == [1, 1]


def test_repeating_ends_at_half_as_many_blocks_again() -> None:
    latency = run([], rounds=4, guard=reasons([None, "busy", "hot", "busy", None, "busy"]))
    assert len(latency.blocks) == 2
    assert latency.disturbed == ("busy", "hot", "busy", "busy")


def test_a_machine_that_is_always_disturbed_gives_no_block_and_says_by_what() -> None:
    latency = run([], rounds=4, guard=reasons(["busy", "hot", "busy", "busy", "busy", "busy"]))
    assert latency.blocks == ()
    assert latency.disturbed == ("busy", "hot", "busy", "busy", "busy", "busy")


@pytest.mark.parametrize(
    ("time_ms", "told"), [(0.0, "0"), (-1.5, "-1.5"), (float("inf"), "inf"), (float("nan"), "nan")]
)
def test_a_time_that_cannot_be_disturbs_its_block_and_the_guard_is_asked_first(time_ms: float, told: str) -> None:
    class Broken(Arm):
        """Whose second block has one impossible time."""

        @contextmanager
        def __call__(self) -> Iterator[Session]:
            with super().__call__() as session:
                if self.opened == 2:
                    session.time = lambda iterations: [1.0] * (iterations - 1) + [time_ms]  # type: ignore[method-assign]
                yield session

    log: list[Event] = []
    finished: list[None] = []
    latency = sampler.sample(
        Arm("a", log),
        Broken("b", log),
        reference_sha256="f" * 64,
        rounds=2,
        iterations=2,
        guard=lambda: lambda: finished.append(None),
    )
    assert latency.disturbed == (f"the runtime told a time of {told} ms",)
    assert (len(latency.blocks), len(finished)) == (2, 3)


def test_the_guard_watches_from_before_a_block_is_opened_until_it_is_closed() -> None:
    log: list[Event] = []

    def guard() -> Callable[[], None]:
        log.append(("guard", "begin"))
        return lambda: log.append(("guard", "end"))

    run(log, rounds=1, guard=guard)
    assert (log[0], log[-1]) == (("guard", "begin"), ("guard", "end"))


def test_an_arm_that_cannot_be_opened_closes_the_other() -> None:
    log: list[Event] = []
    good = Arm("a", log)

    @contextmanager
    def bad() -> Iterator[Session]:
        raise HqpError("refused")
        yield

    for seed in range(4):
        with pytest.raises(HqpError, match="refused"):
            sampler.sample(good, bad, reference_sha256="", seed=seed)


@pytest.mark.parametrize("counts", [{"rounds": 0}, {"iterations": 0}, {"warmups": -1}])
def test_counts_that_measure_nothing_are_refused(counts: dict[str, int]) -> None:
    with pytest.raises(HqpError, match="at least 1, 1 and 0"):
        run([], **counts)
