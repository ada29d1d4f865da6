"""Ranges: exact extremes, the KL threshold against its definition, and memory that does not grow."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from hqp.compress.exporting.export import export
from hqp.compress.quantisation import calibrate
from hqp.compress.quantisation.calibrate import (
    BINS,
    LEVELS,
    MOST_CLIPPED,
    PERCENTILE,
    Distribution,
    NotFinite,
    kl_bins,
    mse_bins,
    percentile_bins,
)
from hqp.errors import HqpError
from hqp.records import Calibration, Policy

torch.set_num_threads(1)

HIDDEN = "/1/HardSwish_output_0"


@pytest.fixture(scope="module")
def fp32(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Hardswish(), nn.Conv2d(8, 4, 3), nn.Flatten(), nn.Linear(64, 5))
    path = tmp_path_factory.mktemp("model") / "fp32.onnx"
    export(model, 8, path)
    return path


def ranges(
    fp32: Path,
    batches: Callable[[], Iterable[npt.NDArray[np.float32]]],
    how: Calibration,
    policy: Policy = calibrate.DEFAULT_POLICY,
) -> dict[str, tuple[float, float]]:
    return calibrate.ranges(calibrate.distributions(fp32, batches, policy), how, policy)


def images(count: int, seed: int = 0) -> npt.NDArray[np.float32]:
    return np.random.default_rng(seed).standard_normal((count, 3, 8, 8), dtype=np.float32)


def hidden(fp32: Path, batch: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    import onnx
    from onnx import numpy_helper

    stored = {tensor.name: torch.tensor(numpy_helper.to_array(tensor)) for tensor in onnx.load(fp32).graph.initializer}
    result = nn.functional.conv2d(torch.tensor(batch), stored["/0/Conv.weight"], stored["/0/Conv.bias"])
    return nn.functional.hardswish(result).numpy()


def test_minmax_is_the_lowest_and_highest_value_seen(fp32: Path) -> None:
    batch = images(5)
    found = ranges(fp32, lambda: [batch[:3], batch[3:]], "minmax", Policy(float_results=True))
    assert list(found) == ["input", HIDDEN, "/3/Flatten_output_0"]
    assert found["input"] == (batch.min(), batch.max())
    expected = hidden(fp32, batch)
    assert found[HIDDEN] == pytest.approx((expected.min(), expected.max()), rel=1e-5)


def test_a_range_always_holds_zero(fp32: Path) -> None:
    assert ranges(fp32, lambda: [np.abs(images(2)) + 1], "minmax")["input"][0] == 0.0


def test_kl_cuts_an_outlier_off(fp32: Path) -> None:
    batch = images(40)
    batch[0, 0, 0, 0] = 40
    low, high = ranges(fp32, lambda: [batch], "kl")["input"]
    assert high < 8
    assert low == batch.min()


@pytest.mark.parametrize(("policy", "levels"), [(Policy(), 256), (Policy("int8", symmetric=True), 128)])
def test_a_tensor_that_is_never_negative_has_every_level_of_an_unsigned_byte(
    policy: Policy, levels: int, fp32: Path
) -> None:
    batch = np.abs(images(40))
    batch[0, 0, 0, 0] = 1000  # so far out that the search keeps as little as it may: one bin to a level
    assert ranges(fp32, lambda: [batch], "kl", policy)["input"] == (0.0, 1000 * levels / BINS)


def test_images_come_in_any_order_and_in_any_batches(fp32: Path) -> None:
    batch = images(12)
    one = ranges(fp32, lambda: [batch], "kl")
    other = ranges(fp32, lambda: iter(batch[::-1, None]), "kl")
    assert one == other


def test_more_threads_see_what_one_sees(fp32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = images(13) * np.geomspace(0.01, 50, 13, dtype=np.float32)[:, None, None, None]
    one = ranges(fp32, lambda: [batch[:6], batch[6:]], "kl")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert ranges(fp32, lambda: [batch[:6], batch[6:]], "kl") == one


def test_each_batch_is_counted_and_let_go_before_the_next_is_read(fp32: Path) -> None:
    events = []

    def batches() -> Iterator[npt.NDArray[np.float32]]:
        for count in (2, 3):
            events.append(f"read {count}")
            yield images(count)

    calibrate.distributions(fp32, batches, advance=lambda count: events.append(f"done {count}"))
    assert events == ["read 2", "done 2", "read 3", "done 3"]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_refused_by_the_name_of_the_tensor(fp32: Path, value: float) -> None:
    batch = images(2)
    batch[1, 0, 0, 0] = value
    with pytest.raises(NotFinite, match=r"calibration met NaN or infinity in input"):
        ranges(fp32, lambda: [batch], "kl")


def test_an_image_that_gives_nan_is_left_out_with_the_layer_that_gave_it_first(fp32: Path) -> None:
    batch, wrong, left_out = images(4), images(4), list[str]()
    wrong[2] = np.sign(wrong[2]) * np.float32(3e38)  # finite itself
    seen = calibrate.distributions(fp32, lambda: [wrong], left_out=left_out)
    assert left_out == ["0"]
    without = calibrate.distributions(fp32, lambda: [np.delete(wrong, 2, axis=0)])
    for name, one in seen.items():
        assert (one.low, one.high) == (without[name].low, without[name].high)
        assert np.array_equal(one.counts, without[name].counts)
    batch[:] = math.nan
    with pytest.raises(HqpError, match="got no images"):
        calibrate.distributions(fp32, lambda: [batch], left_out=[])


def test_no_images_are_refused(fp32: Path) -> None:
    with pytest.raises(HqpError, match="got no images"):
        ranges(fp32, lambda: [], "kl")


# --- the histogram ---


finite = st.floats(-(2.0**20), 2.0**20, width=32)
arrays = st.lists(st.lists(finite, min_size=1, max_size=20), min_size=1, max_size=6)


def distribution(parts: list[list[float]]) -> Distribution:
    seen = Distribution("x")
    for part in parts:
        seen.add(np.array(part, np.float32))
    return seen


@given(arrays)
def test_every_value_that_is_not_zero_is_counted_once(parts: list[list[float]]) -> None:
    seen, values = distribution(parts), np.concatenate(parts)
    assert seen.counts.sum() == np.count_nonzero(values)
    assert (seen.counts >= 0).all()
    if seen.largest > 0:
        assert seen.resampled(seen.counts).sum() == pytest.approx(np.count_nonzero(values))


@given(arrays)
@example([[0.0], [0.25]])
def test_the_histogram_does_not_depend_on_the_order(parts: list[list[float]]) -> None:
    one, other = distribution(parts), distribution(parts[::-1])
    assert (one.low, one.high, one.exponent) == (other.low, other.high, other.exponent)
    assert (one.counts == other.counts).all()
    assert (one.relative == other.relative).all()


def test_what_is_kept_has_one_size_whatever_was_seen() -> None:
    small, large = distribution([[1.0]]), distribution([list(map(float, range(1000)))] * 50)
    assert small.counts.nbytes == large.counts.nbytes == BINS * 4 * 8
    assert set(vars(large)) == {"name", "low", "high", "exponent", "zeros", "counts", "relative"}


def test_the_mean_square_is_of_all_values_zeros_among_them() -> None:
    seen = distribution([[0.0, 0.0], [3.0, -4.0], [0.0, 5.0]])
    assert seen.mean_square == pytest.approx((9 + 16 + 25) / 6, rel=1e-3)


def test_each_value_lies_in_its_bin() -> None:
    seen = distribution([[0.001, -0.3], [0.0, 5.0, -7.9]])  # the largest magnitude is below 8
    width = 8 / len(seen.counts)
    assert sorted(np.flatnonzero(seen.counts)) == sorted(int(value / width) for value in (0.001, 0.3, 5.0, 7.9))


def test_of_a_large_tensor_a_share_is_counted_that_meets_every_column_and_its_extremes_are_of_all() -> None:
    width = 256
    columns = np.tile(np.arange(1, width + 1, dtype=np.float32), (width, 1))
    columns[0, 1] = 1000.0  # beside what is counted
    seen = Distribution("x")
    seen.add(columns)
    stride = 17  # 65,536 values over 4,096, made odd
    assert seen.counts.sum() == -(-columns.size // stride)
    assert (seen.low, seen.high) == (0.0, 1000.0)
    met = np.unique(columns.ravel()[::stride])
    assert len(np.setdiff1d(np.arange(1, width + 1), met)) == 0


# --- the threshold ---


def kl_bins_by_definition(counts: npt.NDArray[np.float64], levels: int) -> int:
    found = []
    for kept in range(levels, len(counts) + 1):
        if counts[kept:].sum() > MOST_CLIPPED * counts.sum():
            continue
        reference = counts[:kept].copy()
        reference[-1] += counts[kept:].sum()
        group = np.arange(kept) * levels // kept
        filled = np.bincount(group, reference > 0, minlength=levels)
        mass = np.bincount(group, counts[:kept], minlength=levels)
        if mass[-1] == 0 and reference[-1] > 0:
            mass[-1] = 1
        candidate = np.where(reference > 0, mass[group] / np.maximum(filled[group], 1), 0)
        p, q = reference / reference.sum(), candidate / candidate.sum()
        used = p > 0
        divergence = float((p[used] * np.log(p[used] / q[used])).sum())
        found.append((divergence, kept))
    return max(kept for divergence, kept in found if divergence <= min(found)[0] + 1e-9)


@settings(max_examples=40, deadline=None)
@example([0] * 10 + [2, 2], 2)
@example([0, 0, 5000, 0, 0, 0, 1, 1, 0, 0, 0, 0], 2)
@given(st.lists(st.sampled_from([0, 0, 1, 2, 3, 10, 100, 5000]), min_size=12, max_size=60), st.integers(2, 12))
def test_the_threshold_is_the_one_of_the_definition(counts: list[int], levels: int) -> None:
    histogram = np.array(counts, float)
    histogram[-1] += 1  # the largest value lies in the last bin
    got, expected = kl_bins(histogram, levels), kl_bins_by_definition(histogram, levels)
    assert got == expected


def test_a_uniform_distribution_is_not_cut() -> None:
    assert kl_bins(np.ones(BINS), LEVELS) == BINS


def test_the_tail_of_a_normal_distribution_is_cut() -> None:
    values = np.random.default_rng(0).standard_normal(200_000).astype(np.float32)
    values[0] = 40
    seen = distribution([values.tolist()])
    assert 2.5 < seen.largest * kl_bins(seen.resampled(seen.counts), LEVELS) / BINS < 6


@pytest.mark.parametrize("low", [0.05, 0.13, 0.25, 0.5, 0.9])
def test_an_activation_that_keeps_clear_of_zero_is_not_cut_away(low: float) -> None:
    counts, _ = np.histogram(np.random.default_rng(0).uniform(low, 1, 200_000), BINS, (0, 1))
    kept = kl_bins(counts.astype(float), 2 * LEVELS)
    assert counts[kept:].sum() <= MOST_CLIPPED * counts.sum()
    assert kept > 0.99 * BINS


def test_a_spike_away_from_zero_is_no_place_to_cut() -> None:
    values = np.maximum(np.random.default_rng(0).standard_normal(200_000), 0) + 1.5  # half of them are 1.5
    seen = distribution([values.tolist()])
    assert calibrate.ranges({"x": seen}, "kl")["x"][1] > 3.8


def mse_bins_by_definition(counts: npt.NDArray[np.float64], levels: int) -> int:
    errors = []
    for kept in range(1, len(counts) + 1):
        step = kept / levels
        inside = counts[:kept].sum() * step**2 / 12
        beyond = sum(counts[place] * (place + 0.5 - kept) ** 2 for place in range(kept, len(counts)))
        errors.append(inside + beyond)
    return max(kept for kept, error in enumerate(errors, 1) if error <= min(errors) * (1 + 1e-9))


@given(st.lists(st.integers(0, 1000), min_size=8, max_size=40).filter(any), st.sampled_from([4, 16, 128]))
def test_the_threshold_of_least_squares_is_the_one_of_the_definition(counts: list[int], levels: int) -> None:
    given = np.array(counts, np.float64)
    assert mse_bins(given, levels) == mse_bins_by_definition(given, levels)


def test_an_image_counts_over_its_root_mean_square() -> None:
    seen = distribution([[0.5, -0.5], [6.0, 0.0, 6.0, 0.0], [0.0, 0.0]])  # of 0.5, 4.2 and 0
    width = 8 / len(seen.counts)
    low, high = int(0.5 / width), int(6.0 / width)
    assert (seen.counts[low], seen.counts[high]) == (2, 2)
    assert (seen.relative[low], seen.relative[high]) == (2, 2 / 8)
    assert np.flatnonzero(seen.relative).tolist() == [low, high]


def test_by_least_squares_an_image_far_above_all_others_counts_no_more_for_that() -> None:
    """As where a gate opens wide: to hold it whole takes levels from all others."""
    draw = np.random.default_rng(0)
    seen = Distribution("x")
    for scale in [1] * 99 + [30]:
        seen.add(scale * draw.standard_normal(1000).astype(np.float32))
    threshold = calibrate.ranges({"x": seen}, "mse")["x"][1]
    seen.relative = seen.counts
    all_alike = calibrate.ranges({"x": seen}, "mse")["x"][1]
    assert threshold < 0.7 * all_alike


def test_an_outlier_is_told_by_how_much_it_widens_the_range() -> None:
    even, far = Distribution("even"), Distribution("far")
    even.add(np.linspace(0, 1, 4096, dtype=np.float32))
    for _ in range(5):
        far.add(np.linspace(0, 1, 4096, dtype=np.float32))
    far.add(np.array([8.0], np.float32))
    found = calibrate.outliers({"even": even, "far": far})
    assert list(found) == ["far"] and found["far"] == pytest.approx(8, rel=0.02)


def test_a_percentile_keeps_its_share_and_not_one_bin_more() -> None:
    counts = np.ones(BINS)
    assert percentile_bins(counts) == BINS
    counts[:] = 0
    counts[[3, 1000, BINS - 1]] = 1e6, 150, 50
    share = 1 - PERCENTILE
    assert 50 / counts.sum() < share < 200 / counts.sum()
    assert percentile_bins(counts) == 1001


def test_minmax_cuts_nothing_percentile_a_share_and_all_hold_zero() -> None:
    values = np.concatenate([np.full(99_990, 1.0), np.full(9, 8.0), [-100.0]])
    seen = {"x": distribution([values.tolist()])}
    assert calibrate.ranges(seen, "minmax")["x"] == (-100.0, 8.0)
    low, high = calibrate.ranges(seen, "percentile")["x"]
    assert low == -high and 1.0 < high < 1.1
