"""A metric is samples with a name and a unit, and reads in units that people use."""

from __future__ import annotations

import pytest

from hqp.records import Metric, in_readable_unit, metric_named, words_of


@pytest.mark.parametrize("samples", [(), (float("nan"),), (1.0, float("inf"))])
def test_without_samples_or_with_one_that_is_no_number_there_is_no_metric(samples: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="energy has no samples, or one that is no number"):
        Metric("energy", "mJ", samples)


def test_counts_and_floats_are_one_value() -> None:
    assert Metric("size", "bytes", (7,)) == Metric("size", "bytes", (7.0,))
    assert [type(sample) for sample in Metric("size", "bytes", (7,)).samples] == [float]


def test_the_median_is_of_the_samples() -> None:
    assert Metric("energy", "mJ", (9.0, 1.0, 2.0, 4.0)).median == 3.0


def test_a_name_means_the_whole_artefact_and_not_a_part() -> None:
    part, whole = Metric("time", "ms", (1.0,), of="conv1"), Metric("time", "ms", (5.0,))
    assert metric_named((part, whole), "time") == whole
    assert metric_named((part,), "time") is None


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (120_000_000, "bytes", ("120", "MB")),
        (1_234_567_890, "bytes", ("1,235", "MB")),
        (8_123_456, "bytes", ("8.12", "MB")),
        (12_345, "bytes", ("0.0123", "MB")),
        (0, "bytes", ("0.00", "MB")),
        (0.45678, "ms", ("0.457", "ms")),
        (-3.14159, "mJ", ("-3.14", "mJ")),
    ],
)
def test_a_value_reads_to_three_significant_digits(value: float, unit: str, shown: tuple[str, str]) -> None:
    assert in_readable_unit(value, unit) == shown


def test_a_name_reads_as_words() -> None:
    assert words_of("peak_memory") == "peak memory"
