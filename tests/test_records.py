"""What the values that cross layers compute."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp.records import (
    Accuracy,
    Baseline,
    Case,
    Environment,
    Group,
    Member,
    Ranking,
    Results,
    Samples,
    digest_of,
)


def samples_of(labels: list[int]) -> Samples:
    def read(indices: object, size: int) -> np.ndarray:
        raise AssertionError("labels alone decide")

    names = tuple(map(str, range(8)))
    return Samples("signs", "test", np.array(labels), names, (0.5, 0.4, 0.3), (0.25, 0.2, 0.1), "d" * 64, read)


def test_digest_is_of_the_value_and_not_of_its_order() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1})
    assert digest_of({}) == "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    with pytest.raises(ValueError, match="not JSON compliant"):
        digest_of(float("nan"))


def test_accuracy_counts_ranks_from_logits() -> None:
    logits = np.zeros((3, 8))
    logits[0, 2] = 1.0  # first of all
    logits[1, :5] = 2.0  # five classes before it
    logits[2, :4] = 2.0  # four classes before it
    found = Accuracy.of(samples_of([2, 5, 4]), logits)
    assert (found.total, found.correct, found.correct_top5) == (3, 1, 2)
    assert found.correct_images.tolist() == [True, False, False]
    assert (found.top1, found.top5) == (1 / 3, 2 / 3)
    assert (found.split, found.split_digest) == ("test", "d" * 64)


def test_equal_logits_count_in_the_order_of_classes_and_cannot_flatter() -> None:
    found = Accuracy.of(samples_of([0, 1, 4, 5]), np.ones((4, 8)))
    assert (found.correct, found.correct_top5) == (1, 3)


@pytest.mark.parametrize("broken", [np.nan, np.inf, -np.inf])
def test_an_output_that_is_no_number_is_wrong(broken: float) -> None:
    logits = np.zeros((1, 8))
    logits[0, 3] = broken
    found = Accuracy.of(samples_of([3]), logits)
    assert (found.correct, found.correct_top5) == (0, 0)


def test_accuracy_is_of_as_many_images_as_there_are_outputs() -> None:
    assert Accuracy.of(samples_of([0] * 9), np.eye(1, 8).repeat(5, axis=0)).total == 5


@given(st.lists(st.booleans(), min_size=1, max_size=40))
def test_hits_are_packed_without_loss(hits: list[bool]) -> None:
    logits = np.zeros((len(hits), 8))
    logits[np.arange(len(hits)), np.where(hits, 3, 0)] = 1.0
    found = Accuracy.of(samples_of([3] * len(hits)), logits)
    assert found.correct_images.tolist() == hits
    assert found.correct == sum(hits)


def test_images_are_normalised_by_channel_and_turned_channels_first() -> None:
    images = np.zeros((1, 2, 2, 3), dtype=np.uint8)
    images[0, 0, 1] = (255, 128, 51)
    found = samples_of([0]).normalised(images)
    assert (found.shape, found.dtype, found.flags.c_contiguous) == ((1, 3, 2, 2), np.float32, True)
    assert found[0, :, 0, 1] == pytest.approx([2.0, (128 / 255 - 0.4) / 0.2, -1.0], abs=1e-6)
    assert found[0, :, 1, 1] == pytest.approx([-2.0, -2.0, -3.0], abs=1e-6)


def test_ranking_takes_options_in_any_order_and_shows_them() -> None:
    ranking = Ranking("magnitude", per_layer=True, norm="l2")
    assert ranking == Ranking("magnitude", (("norm", "l2"), ("per_layer", True)))
    assert str(ranking) == "magnitude(norm=l2, per_layer=True)"
    assert str(Ranking("fisher")) == "fisher"


def test_a_group_counts_filters_and_no_norms_or_inputs() -> None:
    members = (
        Member("conv", "filter", ((0,), (1, 2))),
        Member("norm", "norm", ((0,), (1, 2))),
        Member("residual", "filter", ((0,), (1,))),
        Member("next", "input", ((0,), (1,))),
    )
    group = Group("conv", 2, members)
    assert [group.filters(channel) for channel in range(2)] == [2, 3]


def test_an_environment_is_named_by_its_facts() -> None:
    here, same = Environment({"a": "1", "b": "2"}), Environment({"b": "2", "a": "1"})
    there = Environment({"a": "1", "b": "3", "c": "4"})
    assert here.digest == same.digest
    assert (len(here.digest), here.digest == there.digest) == (12, False)
    assert here.differences(same) == []
    assert here.differences(there) == ["b: 2, 3", "c: absent, 4"]


def test_latency_hands_out_all_samples_of_each_arm(make_latency: Callable[..., object]) -> None:
    latency = make_latency([[1.0, 2.0], [3.0]], [[4.0], [5.0, 6.0]])
    assert latency.reference_ms.tolist() == [1.0, 2.0, 3.0]  # type: ignore[attr-defined]
    assert latency.candidate_ms.tolist() == [4.0, 5.0, 6.0]  # type: ignore[attr-defined]


def test_a_case_is_named_by_its_parts_and_found_in_a_baseline(
    make_measurement: Callable[..., object], make_results: Callable[..., Results]
) -> None:
    case = Case("resnet18", "hqp", "cpu_openvino")
    assert str(case) == "resnet18-hqp-cpu_openvino"
    empty = Baseline(1, "0.1.0", "signs", "cpu_openvino", Environment({}), "2026-03-01", ())
    assert empty.entry(case) is None
