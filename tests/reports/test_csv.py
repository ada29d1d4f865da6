"""The CSV report: a line a case, numbers in full, nothing that a spreadsheet would run."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from dataclasses import replace

from hqp.records import Case, Judgement, Measurement, PairedLatency, Results
from hqp.reports import csv as report

Make = Callable[..., Measurement]


def lines(results: Results) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(report.render(results))))


def test_every_case_is_a_line_with_its_intervals_and_verdicts(
    make_measurement: Make,
    make_latency: Callable[..., PairedLatency],
    make_judgement: Callable[..., Judgement],
    make_results: Callable[..., Results],
) -> None:
    measured = make_measurement(latency=make_latency([[5.0, 5.0, 5.0]] * 20, [[2.0, 2.0, 2.0]] * 20))
    (line,) = lines(make_results(measured, judgements=(make_judgement(measured, "size", "fail"),)))
    assert (line["model"], line["method"], line["device"]) == ("resnet18", "hqp", "cpu_openvino")
    assert (line["speedup"], line["speedup_lower"], line["latency_ms"], line["size"]) == ("2.5", "2.5", "2.0", "fail")
    assert (
        float(line["top1"]) == measured.accuracy.top1 and int(line["model_bytes"]) == measured.sidecar.file.size_bytes
    )


def test_what_was_not_measured_is_empty(make_measurement: Make, make_results: Callable[..., Results]) -> None:
    one = make_measurement()
    bare = replace(one, fp32_accuracy=None, metrics=(), latency=replace(one.latency, blocks=()))
    bare = replace(bare, case=Case("resnet18", "q8", "cpu_openvino"))
    full, empty = lines(make_results(one, bare))
    assert empty["drop_pp"] == empty["speedup"] == empty["latency_ms"] == ""
    assert [key for key in full if full[key] and key.endswith("_bytes")] != ["model_bytes"]


def test_a_name_that_would_be_a_formula_is_text(make_measurement: Make, make_results: Callable[..., Results]) -> None:
    (line,) = lines(make_results(make_measurement(case=Case('=cmd|"/c calc"!A1', "hqp", "cpu_openvino"))))
    assert line["model"] == '\'=cmd|"/c calc"!A1'


def test_a_run_without_cases_is_a_header(make_results: Callable[..., Results]) -> None:
    assert report.render(make_results()) == "model,method,device\n"
