"""Rows, headers and ranks of a table of measurements."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hqp.records import Case
from hqp.reports._layout import Column, headers, number, ranks, table

COLUMNS = (
    Column("method", lambda measurement: measurement.case.method),
    Column("images", lambda measurement: number(measurement.accuracy.total, 0), rank=2),
)


def test_a_row_for_each_measurement_and_a_cell_for_each_column(make_measurement: Callable[..., Any]) -> None:
    measured = [make_measurement(case=Case("resnet18", method, "nano")) for method in ("fp32", "hqp")]
    assert table(COLUMNS, measured) == (("fp32", "20,000"), ("hqp", "20,000"))
    assert headers(COLUMNS) == ("method", "images")
    assert ranks(COLUMNS) == {"images": 2}, "a column without a rank always stays"
