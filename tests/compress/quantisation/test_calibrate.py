"""What calibration sees of each tensor: exact extremes, in any order, batch and thread; NaN by its layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from hqp.compress.exporting.export import export
from hqp.compress.quantisation import calibrate
from hqp.compress.quantisation.distribution import BINS, NotFinite
from hqp.compress.quantisation.thresholds import DEFAULT_POLICY, ranges
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


def ranges_of(
    fp32: Path,
    batches: Callable[[], Iterable[npt.NDArray[np.float32]]],
    how: Calibration,
    policy: Policy = DEFAULT_POLICY,
) -> dict[str, tuple[float, float]]:
    return ranges(calibrate.distributions(fp32, batches, policy), how, policy)


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
    found = ranges_of(fp32, lambda: [batch[:3], batch[3:]], "minmax", Policy(float_results=True))
    assert list(found) == ["input", HIDDEN, "/3/Flatten_output_0"]
    assert found["input"] == (batch.min(), batch.max())
    expected = hidden(fp32, batch)
    assert found[HIDDEN] == pytest.approx((expected.min(), expected.max()), rel=1e-5)


def test_a_range_always_holds_zero(fp32: Path) -> None:
    assert ranges_of(fp32, lambda: [np.abs(images(2)) + 1], "minmax")["input"][0] == 0.0


def test_kl_cuts_an_outlier_off(fp32: Path) -> None:
    batch = images(40)
    batch[0, 0, 0, 0] = 40
    low, high = ranges_of(fp32, lambda: [batch], "kl")["input"]
    assert high < 8
    assert low == batch.min()


@pytest.mark.parametrize(("policy", "levels"), [(Policy(), 256), (Policy("int8", symmetric=True), 128)])
def test_a_tensor_that_is_never_negative_has_every_level_of_an_unsigned_byte(
    policy: Policy, levels: int, fp32: Path
) -> None:
    batch = np.abs(images(40))
    batch[0, 0, 0, 0] = 1000  # so far out that the search keeps as little as it may: one bin to a level
    assert ranges_of(fp32, lambda: [batch], "kl", policy)["input"] == (0.0, 1000 * levels / BINS)


def test_images_come_in_any_order_and_in_any_batches(fp32: Path) -> None:
    batch = images(12)
    one = ranges_of(fp32, lambda: [batch], "kl")
    other = ranges_of(fp32, lambda: iter(batch[::-1, None]), "kl")
    assert one == other


def test_more_threads_see_what_one_sees(fp32: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = images(13) * np.geomspace(0.01, 50, 13, dtype=np.float32)[:, None, None, None]
    one = ranges_of(fp32, lambda: [batch[:6], batch[6:]], "kl")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert ranges_of(fp32, lambda: [batch[:6], batch[6:]], "kl") == one


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
        ranges_of(fp32, lambda: [batch], "kl")


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
        ranges_of(fp32, lambda: [], "kl")
