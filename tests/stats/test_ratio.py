"""The ratio of paired blocks: by hand, and by simulation of the noise that machines have."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest

from hqp.records import Block, Estimate, PairedLatency
from hqp.stats import ratio, sequential

Noise = Callable[[np.random.Generator], npt.NDArray[np.float64]]

RUNS, PROCESSES, BLOCKS = 4000, 20, 2
# Of 4000 runs in which one in twenty is wrong, 5.5% is 1.45 standard errors away: the seeds are fixed.
ALLOWED = 0.055


def latency(*blocks: Block, most: int = 20) -> PairedLatency:
    return PairedLatency("f" * 64, blocks, most_processes=most)


def test_a_process_is_the_median_of_its_blocks_ratios_of_medians() -> None:
    measured = latency(
        Block((1.0, 2.0, 90.0), (4.0,), 0),  # 2
        Block((1.0,), (8.0,), 0),  # 8
        Block((2.0,), (1.0, 1.0), 1),  # 1 / 2
        Block((2.0,), (2.0,), 1),  # 1
        Block((1.0,), (3.0,), 2),  # 3
    )
    found = np.exp(ratio.slowdowns(measured))
    assert found == pytest.approx([math.sqrt(2 * 8), math.sqrt(1 / 2), 3.0], rel=1e-15)
    assert ratio.candidates_ms(measured).tolist() == [6.0, 1.5, 3.0]
    assert ratio.candidate_samples_ms(measured) == [[4.0, 8.0], [1.0, 1.0, 2.0], [3.0]]


def test_six_processes_give_their_extremes_and_the_two_directions_are_inverse() -> None:
    measured = latency(*(Block((1.0,), (2.0**power,), power) for power in range(6)))
    slower, faster = ratio.slowdown(measured), ratio.speedup(measured)
    assert slower is not None and faster is not None
    assert (slower.lower, slower.upper) == pytest.approx((1.0, 32.0), rel=1e-15)
    assert slower.value == pytest.approx(2**2.5)
    assert (faster.lower, faster.upper) == pytest.approx((1 / 32.0, 1.0), rel=1e-15)
    assert ratio.candidate_ms(measured) == Estimate(6.0, 1.0, 32.0, 0.9)


def test_more_blocks_of_few_processes_do_not_make_an_interval() -> None:
    assert ratio.slowdown(latency(*(Block((1.0,), (1.0,), number % 5) for number in range(50)))) is None


def test_what_both_arms_share_cancels() -> None:
    """Drift of the machine, and what a process does to both arms."""
    measured = latency(*(Block((1.0 + number,), (3.0 + 3 * number,), number) for number in range(6)))
    slower = ratio.slowdown(measured)
    assert slower is not None
    assert (slower.value, slower.lower, slower.upper) == pytest.approx((3, 3, 3), rel=1e-15)


# --- noise, as log ratios of shape (runs, processes, blocks) ------------------------------------------------------


def normal(draw: np.random.Generator) -> npt.NDArray[np.float64]:
    return draw.normal(0, 0.01, (RUNS, PROCESSES, BLOCKS))


def process_bias(draw: np.random.Generator) -> npt.NDArray[np.float64]:
    """As large between processes as between blocks, and then three times as large."""
    return normal(draw) + draw.normal(0, 0.03, (RUNS, PROCESSES, 1)) * draw.choice([1 / 3, 1], (RUNS, 1, 1))


def skewed(draw: np.random.Generator) -> npt.NDArray[np.float64]:
    """A process's bias is log-normal, far to one side; its median is 1."""
    return np.expm1(draw.normal(0, 1, (RUNS, PROCESSES, 1))) * 0.01 + normal(draw) * 0.01


def one_sided(draw: np.random.Generator) -> npt.NDArray[np.float64]:
    """One process in four has its candidate alone slowed down, by up to a fifth."""
    hit = draw.random((RUNS, PROCESSES, 1)) < 0.25
    noise = normal(draw) + np.where(hit, draw.exponential(0.1, (RUNS, PROCESSES, 1)), 0.0)
    return noise - np.median(noise.mean(axis=2))


def correlated(draw: np.random.Generator) -> npt.NDArray[np.float64]:
    """Blocks follow each other: each is like the one before it by 0.5, across processes too."""
    steps = draw.normal(0, 0.01, (RUNS, PROCESSES * BLOCKS))
    for number in range(1, steps.shape[1]):
        steps[:, number] = 0.5 * steps[:, number - 1] + math.sqrt(1 - 0.5**2) * steps[:, number]
    walk = steps.reshape(RUNS, PROCESSES, BLOCKS)
    # What goes on in time hits both orders of the arms: in every other block it is the other arm.
    return walk * np.array([1, -1])


@pytest.mark.parametrize("noise", [normal, process_bias, skewed, one_sided, correlated])
def test_each_tail_is_wrong_in_at_most_one_run_of_eighteen_however_often_one_looks(noise: Noise) -> None:
    """A look after each process; wrong is a bound beyond the truth, 0, at any of them."""
    by_process = np.median(noise(np.random.default_rng(0)), axis=2)
    too_high = too_low = np.zeros(RUNS, dtype=bool)
    for look in sequential.looks(PROCESSES, 0.05):
        seen = np.sort(by_process[:, : look.values], axis=1)
        too_high = too_high | (seen[:, look.values - look.beyond] > 0)
        too_low = too_low | (seen[:, look.beyond - 1] < 0)
    assert too_high.mean() <= ALLOWED
    assert too_low.mean() <= ALLOWED


def test_the_blocks_of_one_process_as_units_would_be_wrong_in_a_third_of_runs() -> None:
    """Why a process counts once: the same looks at blocks that share a process's bias."""
    draw = np.random.default_rng(0)
    blocks = normal(draw) + draw.normal(0, 0.01, (RUNS, 1, 1))
    flat = blocks.reshape(RUNS, -1)[:, :18]
    wrong = np.zeros(RUNS, dtype=bool)
    for look in sequential.looks(PROCESSES, 0.05):
        seen = np.sort(flat[:, : look.values], axis=1)
        wrong |= seen[:, look.values - look.beyond] > 0
    assert wrong.mean() > 0.25
