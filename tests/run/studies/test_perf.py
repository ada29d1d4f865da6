"""What the perf session prints of stored results: θ beside the best other criterion, and cost beside QAT."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from torch import nn

from hqp.compress.studies.pace import Pace, pace
from hqp.records import Case, Cost, Measurement, Results
from hqp.run.studies import ablation, perf

Make = Callable[..., Any]


@pytest.fixture
def case(make_measurement: Make, make_sidecar: Make) -> Callable[[str, float], Measurement]:
    def make(method: str, sparsity: float) -> Measurement:
        qat = Cost("quantisation-aware training", 150_000, 5, 500.0)
        sidecar = make_sidecar(settings__method=method, filters__kept=round(4800 * (1 - sparsity)), spent__qat=qat)
        return make_measurement(case=Case("resnet18", method, "cpu_openvino"), sidecar=sidecar)  # type: ignore[no-any-return]

    return make


def rows(make_results: Make, *measurements: Measurement) -> list[tuple[str, ...]]:
    results: Results = make_results(*measurements)
    return list(perf.pruning_rows(results))


def test_hqp_beside_the_best_of_the_others(make_results: Make, case: Callable[[str, float], Measurement]) -> None:
    measured = (case("fp32", 0.0), case("magnitude", 0.2), case("bn_gamma", 0.1), case("hqp", 0.45))
    # 12.5 and 40 seconds, of 500.
    expected = ("signs", "resnet18", "cpu_openvino", "45.0%", "20.0% magnitude", "2.25 (at least 1.5)")
    assert rows(make_results, *measured) == [(*expected, "10.5% (at most 10.0%)")]


@pytest.mark.parametrize(("others", "told"), [((), ("–", "–")), ((0.0,), ("0.0% magnitude", "∞ (at least 1.5)"))])
def test_what_cannot_be_compared_is_not(
    make_results: Make, case: Callable[[str, float], Measurement], others: tuple[float, ...], told: tuple[str, str]
) -> None:
    measured = [case("magnitude", sparsity) for sparsity in others]
    ((*_, best, ratio, _),) = rows(make_results, *measured, case("hqp", 0.3))
    assert (best, ratio) == told


def test_both_passes_are_timed() -> None:
    def build(classes: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, classes)
        )

    found = pace(build, 8, 4, threads=1)
    assert isinstance(found, Pace) and found.images == 4
    assert min(found.ordinary_seconds, found.sensitivity_seconds, found.ratio) > 0


def test_the_ablation_tells_criteria_and_recoveries_apart(run: Any) -> None:
    done = run("-m", "hqp.run.studies.perf", "ablation", "squarenet", "squares")
    assert done.returncode == 0, done.stderr
    criteria, images = done.stdout.split("\n\n")
    title, header, _, *lines = criteria.splitlines()
    assert title.startswith("squarenet on squares: top-1 in percent on the first 1,000 images of 'selection'")
    assert header.split() == [
        "ranked", "by", "θ", "%", "unrecovered", "least", "squares", "relative", "absolute", "sequential", "nearest",
    ]  # fmt: skip
    assert len(lines) == len(ablation.RANKINGS) * len(ablation.SHARES)
    for line in lines:
        sparsity, *percents = map(float, line.split()[-7:])
        assert sparsity >= 35 and all(0 <= percent <= 100 for percent in percents)
    unrecovered, fitted = (sum(float(line.split()[place]) for line in lines) for place in (-6, -5))
    assert fitted > unrecovered, "over all of them, fitting recovers"
    title, header, _, *lines = images.splitlines()
    assert title.startswith("ranked by fisher_refit(per=mac) from fewer images, recovered") and header.count("θ") == 4
    assert [int(line.split()[0]) for line in lines] == list(ablation.COUNTS)
    assert all(0 < float(percent) <= 100 for line in lines for percent in line.split()[2:])
