"""The Markdown report: tables that GitHub reads as tables."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hqp.records import Judgement, Measurement, Results
from hqp.reports import markdown


def test_every_table_has_as_many_cells_in_each_row(
    make_measurement: Callable[..., Measurement],
    make_results: Callable[..., Results],
    make_judgement: Callable[..., Judgement],
) -> None:
    measurement = make_measurement()
    results = make_results(measurement, judgements=(make_judgement(measurement, "size", "fail"),))
    text = markdown.render(results)
    tables = [part.splitlines() for part in text.split("\n\n") if part.startswith("|")]
    assert len(tables) == 3
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|:-")
    assert text.startswith("## HQP, suite signs\n\nIs it small and fast enough?\n\n### resnet18 on signs")
    assert "* ✗ resnet18-hqp-cpu_openvino size: size says fail\n" in text
    assert "* cpu: a processor\n" in text


def test_signs_of_markdown_in_names_are_told_as_they_are(make_results: Callable[..., Results]) -> None:
    text = markdown.render(make_results(question="a|b <script> *c* [d](e)", machine={"cpu": "x | y\nz"}))
    assert r"a\|b \<script\> \*c\* \[d\](e)" in text
    assert "* cpu: x \\| y z\n" in text


def test_both_drops_are_told_of_a_file_that_a_stand_in_judged(
    make_measurement: Callable[..., Measurement], make_results: Callable[..., Results]
) -> None:
    measurement = make_measurement()
    origin = replace(measurement.sidecar.origin, verified_in="cpu_onnxruntime", standing_in_for="tensorrt")
    judged_elsewhere = replace(measurement, sidecar=replace(measurement.sidecar, origin=origin))
    told = "the drop was 5.00 pp on cpu_onnxruntime, on 'selection', and is 0.50 pp on cpu_openvino itself"
    assert told in markdown.render(make_results(judged_elsewhere))
    assert "the drop was" not in markdown.render(make_results(measurement))
