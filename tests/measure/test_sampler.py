"""The sampler on recorded workers: how blocks are spread over processes, in which order, and what is dropped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from hqp.errors import HqpError
from hqp.measure import sampler
from hqp.measure.stopping import Stopping
from hqp.records import Block, PairedLatency


class Machine:
    """Starts workers, whose blocks are 1 ms beside the number of the block; reasons disturb them one by one."""

    def __init__(self, *reasons: str | None) -> None:
        self.reasons = iter(reasons)
        self.numbers = count(1)
        self.orders: list[list[bool]] = []
        self.running = 0

    @contextmanager
    def __call__(self) -> Iterator[Machine]:
        assert self.running == 0, "two workers at a time disturb each other"
        self.running += 1
        self.orders.append([])
        yield self
        self.running -= 1

    def block(self, reference_first: bool, /) -> Block | str:
        self.orders[-1].append(reference_first)
        number = next(self.numbers)
        reason = next(self.reasons, None)
        return reason if reason else Block((1.0,), (float(number),))


def run(
    machine: Machine, most: int = 5, clear_at: int = 99, seed: int = 0, done: list[int] | None = None
) -> PairedLatency:
    stopping = Stopping(most, 0.05, lambda latency: latency.processes >= clear_at)
    advance = done.append if done is not None else None
    return sampler.sample(machine, stopping, reference_sha256="f" * 64, seed=seed, advance=advance)


def kept(latency: PairedLatency) -> list[tuple[int, float]]:
    return [(block.process, block.candidate_ms[0]) for block in latency.blocks]


def test_each_process_gives_two_blocks_and_the_plan_is_kept_with_them() -> None:
    done: list[int] = []
    latency = run(Machine(), done=done)
    assert kept(latency) == [(process, 2.0 * process + place) for process in range(5) for place in (1, 2)]
    assert (latency.most_processes, latency.tail, latency.disturbed) == (5, 0.05, ())
    assert latency.reference_sha256 == "f" * 64
    assert done == [1] * 5


def test_each_order_once_in_each_process_and_which_is_first_the_seed_decides() -> None:
    orders = []
    for seed in (0, 0, 1):
        machine = Machine()
        run(machine, most=20, seed=seed)
        orders.append(machine.orders)
        assert all(set(order) == {True, False} for order in machine.orders)
        assert 3 <= sum(order[0] for order in machine.orders) <= 15
    assert orders[0] == orders[1] != orders[2]


def test_it_ends_where_the_verdict_is_clear_at_a_planned_look() -> None:
    assert run(Machine(), most=20, clear_at=1).processes == 6
    assert run(Machine(), most=20, clear_at=7).processes == 9
    assert run(Machine(), most=20).processes == 18


def test_a_disturbed_block_is_repeated_in_the_same_order_and_named() -> None:
    machine = Machine(None, "busy", None)
    latency = run(machine)
    assert kept(latency)[:2] == [(0, 1.0), (0, 3.0)]
    assert latency.disturbed == ("busy",)
    first = machine.orders[0][0]
    assert machine.orders[0] == [first, not first, not first]


def test_repeating_ends_at_half_as_many_blocks_again_and_a_half_process_is_dropped() -> None:
    machine = Machine(None, None, None, *["busy"] * 20)
    latency = run(machine)
    # Ten blocks are planned, so five may be repeated; the sixth disturbance ends it.
    assert latency.disturbed == ("busy",) * 6
    assert kept(latency) == [(0, 1.0), (0, 2.0)]
    assert machine.running == 0


def test_a_machine_that_is_always_disturbed_gives_no_block_and_says_by_what() -> None:
    latency = run(Machine(*["busy", "hot"] * 10))
    assert (latency.blocks, latency.processes) == ((), 0)
    assert latency.disturbed == ("busy", "hot") * 3


def test_a_runtime_that_refuses_ends_it_and_the_worker_is_closed() -> None:
    class Refusing(Machine):
        def block(self, reference_first: bool, /) -> Block | str:
            raise HqpError("refused")

    with pytest.raises(HqpError, match="refused"):
        run(Refusing())
