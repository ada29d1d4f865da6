"""What the criteria score, by hand."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hqp.criteria import bn_gamma, fisher, fisher_obd, fisher_refit, magnitude, mean_over
from hqp.errors import UnknownName
from hqp.records import Group, Member, Statistics

INF = float("inf")


def pairs(*indices: int) -> tuple[tuple[int, ...], ...]:
    return tuple((index,) for index in indices)


# A stream of two partners with a normalisation each, and a consumer; channel k of the group is filter k+1 of `b`.
STREAM = Group(
    "a",
    2,
    (
        Member("a", "filter", pairs(0, 1)),
        Member("norm_a", "norm", pairs(0, 1)),
        Member("b", "filter", pairs(1, 2)),
        Member("norm_b", "norm", pairs(1, 2)),
        Member("c", "input", pairs(0, 1)),
    ),
)
EXCITATION = Group("squeeze", 2, (Member("squeeze", "filter", ((0,), (1, 2))), Member("excite", "input", pairs(0, 1))))


def arrays(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: np.array(value, dtype=float) for name, value in values.items()}


STATISTICS = Statistics(
    weights=arrays(
        {
            "a": [[3, -4], [0, 1]],
            "b": [[9, 9], [-1, 0], [6, 8]],
            "c": [[100, 100]],
            "squeeze": [[1, 1], [2, 2], [0, 4]],
        }
    ),
    gammas=arrays({"norm_a": [-1, 2], "norm_b": [50, 3, -8]}),
    fisher=arrays({"a": [1, 2], "b": [99, 3, 6], "c": [1000], "squeeze": [7, 2, 4]}),
    fisher_obd=arrays({"a": [5, 4], "b": [99, 1, 2], "c": [1000], "squeeze": [1, 2, 6]}),
)


def test_fisher_refit_deals_the_losses_out_in_the_order_of_redundancy() -> None:
    assert fisher_refit.needs == ("sensitivity", "redundancy")
    assert fisher_refit.score(EXCITATION, STATISTICS, per="mac").tolist() == [1, 8]
    ordered = replace(STATISTICS, order={"squeeze": (1, 0)})
    assert fisher_refit.score(EXCITATION, ordered, per="mac").tolist() == [8, 1]


def test_fisher_is_the_mean_over_the_filters_that_go() -> None:
    assert fisher.needs == fisher_obd.needs == ("sensitivity",)
    assert fisher.score(STREAM, STATISTICS).tolist() == [2, 4]
    assert fisher.score(EXCITATION, STATISTICS).tolist() == [7, 3]
    assert fisher_obd.score(STREAM, STATISTICS).tolist() == [3, 3]
    assert fisher_obd.score(EXCITATION, STATISTICS).tolist() == [1, 4]


def test_per_layer_the_mean_of_each_layer_is_one() -> None:
    # a: [1, 2] over 1.5, b: [3, 6] over 36
    assert fisher.score(STREAM, STATISTICS, per="layer").tolist() == pytest.approx(
        [(1 / 1.5 + 3 / 36) / 2, (2 / 1.5 + 6 / 36) / 2], rel=1e-15
    )


def test_per_mac_it_is_all_that_is_lost_with_a_channel() -> None:
    assert fisher.score(STREAM, STATISTICS, per="mac").tolist() == [4, 8]
    assert fisher_obd.score(EXCITATION, STATISTICS, per="mac").tolist() == [1, 8]


def test_an_unknown_scale_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown scale 'macs'; did you mean mac"):
        fisher.score(STREAM, STATISTICS, per="macs")


def test_a_layer_that_was_not_measured_scores_nan() -> None:
    assert np.isnan(fisher.score(STREAM, Statistics(STATISTICS.weights, STATISTICS.gammas))).all()


@pytest.mark.parametrize(
    ("options", "stream", "excitation"),
    [
        ({"norm": "l1"}, [(7 + 1) / 2, (1 + 14) / 2], [2, 4]),
        ({"norm": "l2"}, [(5 + 1) / 2, (1 + 10) / 2], [2**0.5, (8**0.5 + 4) / 2]),
        (
            {"norm": "l1", "per_layer": True},
            [(7 / 4 + 1 / 11) / 2, (1 / 4 + 14 / 11) / 2],
            [2 / (10 / 3), 4 / (10 / 3)],
        ),
    ],
)
def test_magnitude(options: dict[str, Any], stream: list[float], excitation: list[float]) -> None:
    assert magnitude.needs == ()
    np.testing.assert_allclose(magnitude.score(STREAM, STATISTICS, **options), stream, rtol=1e-15)
    np.testing.assert_allclose(magnitude.score(EXCITATION, STATISTICS, **options), excitation, rtol=1e-15)


def test_scaled_per_layer_a_layers_scale_does_not_count() -> None:
    scaled = Statistics({**STATISTICS.weights, "b": 1000 * STATISTICS.weights["b"]}, {})
    for norm in ("l1", "l2"):
        before = magnitude.score(STREAM, STATISTICS, norm=norm, per_layer=True)
        np.testing.assert_allclose(magnitude.score(STREAM, scaled, norm=norm, per_layer=True), before, rtol=1e-12)


def test_a_layer_of_zeros_goes_first() -> None:
    zeros = Statistics({**STATISTICS.weights, "squeeze": np.zeros((3, 2))}, {})
    assert magnitude.score(EXCITATION, zeros, per_layer=True).tolist() == [0, 0]


def test_an_unknown_norm_is_refused() -> None:
    with pytest.raises(UnknownName, match="unknown norm 'l3'"):
        magnitude.score(STREAM, STATISTICS, norm="l3")


def test_bn_gamma_is_the_mean_absolute_scale() -> None:
    assert bn_gamma.needs == ()
    assert bn_gamma.score(STREAM, STATISTICS).tolist() == [(1 + 3) / 2, (2 + 8) / 2]


def test_without_a_normalisation_bn_gamma_never_prunes() -> None:
    assert bn_gamma.score(EXCITATION, STATISTICS).tolist() == [INF, INF]
    assert bn_gamma.score(STREAM, Statistics(STATISTICS.weights, {})).tolist() == [INF, INF]


def test_a_damaged_scale_is_not_taken_for_a_missing_one() -> None:
    damaged = Statistics({}, arrays({"norm_a": [float("nan"), 2], "norm_b": [50, 3, -8]}))
    assert np.isnan(bn_gamma.score(STREAM, damaged)[0])


def test_mean_over_leaves_out_layers_without_a_value() -> None:
    assert mean_over(STREAM, arrays({"b": [99, 3, 6]})).tolist() == [3, 6]
