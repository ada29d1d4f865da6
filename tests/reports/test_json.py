"""The results file is the report from which all others are made."""

from __future__ import annotations

from collections.abc import Callable

from hqp import documents
from hqp.records import Measurement, Results
from hqp.reports import json, markdown, table


def test_every_report_can_be_made_anew_from_it(
    make_measurement: Callable[..., Measurement], make_results: Callable[..., Results]
) -> None:
    results = make_results(make_measurement())
    again = documents.from_json(json.render(results), Results, "results.json", "hqp bench")
    assert again == results
    assert (table.render(again), markdown.render(again)) == (table.render(results), markdown.render(results))
    assert json.render(again) == json.render(results)
