"""The Markdown report: tables that GitHub reads as tables."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from hqp.records import Against, Judgement, Measurement, Results
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
    assert len(tables) == 5
    for lines in tables:
        assert len({line.count("|") for line in lines}) == 1
        assert set(lines[1]) <= set("|:-")
    again = "pytest suites/signs.py::resnet18-hqp-cpu_openvino::size"
    assert text.startswith(
        "## gates: 0 passed, 1 failed, 0 inconclusive, 0 skipped\n\n"
        "HQP, suite signs: Is it small and fast enough?\n\n"
        f"* ✗ resnet18-hqp-cpu_openvino size: size says fail; try: {again}\n\n"
        "Compared with FP32 in the same run, 2026-03-01 12:00 UTC; no baseline is stored for these devices\n\n"
        "### resnet18 on signs, 96x96\n\n| method"
    )
    folded = re.findall(r"^<details markdown=\"1\"><summary>(.*)</summary>\n\n[|*]", text, re.MULTILINE)
    assert folded == [
        "notes",
        "resnet18 on signs, 96x96: accuracy and size",
        "resnet18: latency and gates",
        "resnet18: where the accuracy went",
        "cost of making the artefacts",
    ]
    assert text.count("\n\n</details>\n\n") == len(folded)
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


def test_the_baselines_that_it_was_compared_with_are_named(
    make_measurement: Callable[..., Measurement], make_results: Callable[..., Results]
) -> None:
    stored = (
        Against("nano", "baselines/nano/0/signs.json", "2026-02-01 12:00 UTC", "1a2b3c4"),
        Against("tx2", "baselines/tx2/0/signs.json", "2026-02-02 12:00 UTC", None),
    )
    text = markdown.render(make_results(make_measurement(), against=stored))
    assert (
        "Compared with FP32 in the same run, 2026-03-01 12:00 UTC, and the baseline of"
        " nano: baselines/nano/0/signs.json of 2026-02-01 12:00 UTC, commit 1a2b3c4;"
        " tx2: baselines/tx2/0/signs.json of 2026-02-02 12:00 UTC, not committed\n"
    ) in text
