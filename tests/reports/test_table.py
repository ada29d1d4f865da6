"""The text report: what it says of a run, aligned and within its width."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

from hqp.records import (
    Accuracies,
    Accuracy,
    Case,
    Certificate,
    Cost,
    Filters,
    Judgement,
    Measurement,
    ModelFile,
    Policy,
    Recipe,
    Recovered,
    Results,
    Sidecar,
)
from hqp.reports import _sections, table

Make = Callable[..., Measurement]
MakeResults = Callable[..., Results]

DENSE = Case("resnet18", "fp32", "cpu_openvino")
REASON = "no baseline of resnet18-hqp-cpu_openvino in this environment; try: hqp baseline update"


@pytest.fixture
def results(
    make_measurement: Make,
    make_sidecar: Callable[..., object],
    make_results: MakeResults,
    make_latency: Callable[..., object],
    make_judgement: Callable[..., Judgement],
    make_hits: Callable[..., tuple[object, object]],
) -> Results:
    plain = make_sidecar(
        settings__method="fp32",
        accuracy__pruned=None,
        choices__ranking=None,
        file=ModelFile("e" * 64, 44_800_000, 11_200_000, 334_000_000),
        spent__steps=(),
        filters=Filters(total=4800, kept=4800, inner=0, inner_kept=0),
    )
    times = make_latency([[5.0, 5.0, 6.0]] * 20, [[2.0, 2.0, 3.0]] * 20)
    dense_hits, _ = make_hits(0)
    dense = make_measurement(
        case=DENSE, sidecar=plain, metrics=(), accuracy=dense_hits, fp32_accuracy=dense_hits, latency=times
    )
    sidecar = make_sidecar(
        choices__ranking="magnitude(norm=l2)",
        choices__shipped_steps=28,
        choices__recovered=Recovered("relative", {"relative": 0.01, "absolute": 0.02}),
        notes=("the bound is broken: INT8 alone loses 74.40 pp",),
        certificate=Certificate(0.05, 1.5, True, 1.0, 1.321, 8000, None, 2),
        spent__qat=Cost("quantisation-aware training", 150_000, 5, 200.0),
        choices__policy=Policy(weight_bits=7, saturates_without="vnni"),
    )
    hqp = make_measurement(latency=times, sidecar=sidecar)
    judgements = (
        make_judgement(hqp, "accuracy_drop", "pass"),
        make_judgement(hqp, "speedup", "fail"),
        make_judgement(hqp, "size", "inconclusive"),
        make_judgement(dense, "size", "fail", bound=False),
        make_judgement(dense, "speedup", "pass", bound=False),
        Judgement("latency_regression", hqp.case, True, None, REASON),
    )
    return make_results(dense, hqp, judgements=judgements)


def test_int8_that_is_slower_than_fp16_is_said_in_so_many_words(
    make_measurement: Make,
    make_sidecar: Callable[..., object],
    make_latency: Callable[..., object],
    make_results: MakeResults,
) -> None:
    halved = make_sidecar(settings__recipe=Recipe(precision="fp16"), choices__policy=None)
    half = make_measurement(
        case=Case("resnet18", "fp16", "cuda_tensorrt"),
        sidecar=halved,
        latency=make_latency([[4.0] * 3] * 20, [[1.0] * 3] * 20),
    )
    int8 = make_sidecar(choices__policy=Policy())
    slow = make_latency([[4.0] * 3] * 20, [[1.25] * 3] * 20)
    slower = make_measurement(case=Case("resnet18", "q8", "cuda_tensorrt"), sidecar=int8, latency=slow)
    fast = make_latency([[4.0] * 3] * 20, [[0.5] * 3] * 20)
    faster = make_measurement(case=Case("resnet18", "hqp", "cuda_tensorrt"), sidecar=int8, latency=fast)
    said = [line for line in wide(make_results(half, slower, faster)).splitlines() if "slower than FP16" in line]
    assert said == ["  resnet18-q8-cuda_tensorrt is slower than FP16: 0.80 times as fast (0.80 to 0.80)"]


def wide(results: Results) -> str:
    """The report with room for every column, whatever terminal the tests run in, and all that it leaves to others."""
    return table.render(results, table.WIDEST) + table.laid_out(_sections.details(results), table.WIDEST)


def cells(text: str, title: str) -> dict[str, list[str]]:
    """The rows of a table by method, split where columns are two spaces apart."""
    lines = text.partition(title)[2].partition("\n\n")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines if "cpu_openvino" in line]
    return {row[0]: row for row in rows}


def test_accuracy_and_size_of_each_row(results: Results) -> None:
    rows = cells(wide(results), "resnet18 on signs, 96x96: accuracy and size")
    assert rows["fp32"] == [
        "fp32", "cpu_openvino", "99.95", "0.00", "99.98", "–", "44.80", "1.00x", "11.20", "334.0", "0.0", "–",
    ]  # fmt: skip
    assert rows["hqp"] == [
        "hqp", "cpu_openvino", "98.95", "0.50", "99.48", "5.00", "8.00", "5.60x", "7.90", "210.0", "25.0", "50.0",
    ]  # fmt: skip
    assert "θ %: filters removed, of all; inner θ %: of those that no residual sum ties" in wide(results)


def test_latency_and_verdicts_of_each_row(results: Results) -> None:
    text = wide(results)
    rows = cells(text, "resnet18: latency and gates")
    assert rows["fp32"] == [
        "fp32", "cpu_openvino", "2.000", "3.000", "3.000", "2.50x (2.50 to 2.50)", "–", "–", "(✓)", "(✗)",
    ]  # fmt: skip
    assert rows["hqp"] == [
        "hqp", "cpu_openvino", "2.000", "3.000", "3.000", "2.50x (2.50 to 2.50)", "120", "✓", "✗", "?",
    ]  # fmt: skip
    assert "90% interval over up to 20 processes" in text


def test_what_pruning_and_quantising_changed_is_told_apart(
    make_measurement: Make, make_sidecar: Callable[..., Sidecar], make_accuracy: Callable[..., Accuracy],
    make_results: MakeResults,
) -> None:  # fmt: skip
    dense, pruned, file = (make_accuracy([True] * hits + [False] * (20 - hits), "selection") for hits in (19, 18, 16))
    sidecar = make_sidecar(
        accuracy=Accuracies(dense, pruned, file),
        choices__recovered=Recovered("relative", {"relative": 0.01, "absolute": 0.02}),
    )
    text = wide(make_results(make_measurement(sidecar=sidecar)))
    assert cells(text, "resnet18: where the accuracy went")["hqp"] == [
        "hqp", "cpu_openvino", "least squares, batch norms moved by what", "kl",
        "95.00", "90.00", "80.00", "5.00", "10.00",
    ]  # fmt: skip


def test_what_failed_and_why_is_told_below(results: Results) -> None:
    text = wide(results)
    assert (
        "gates: 1 passed, 1 failed, 1 inconclusive, 1 skipped\n"
        "  – 1 skipped: no baseline of the case in this environment; try: hqp baseline update\n"
    ) in text
    again = "pytest suites/signs.py::resnet18-hqp-cpu_openvino::"
    assert (
        f"  ✗ resnet18-hqp-cpu_openvino  speedup: speedup says fail; try: {again}speedup\n"
        f"  ? resnet18-hqp-cpu_openvino  size: size says inconclusive; try: {again}size\n"
        "  median ms, speed-up over FP32"
    ) in text
    assert "(✗) resnet18-fp32" not in text


def test_ranking_cost_and_origin_are_told(results: Results) -> None:
    text = wide(results)
    assert "  hqp ranks by magnitude(norm=l2); 2 pruning steps given back\n" in text
    assert "pruning pp: the drop after pruning and before quantising, on 'selection'" in text
    spent = next(line for line in text.splitlines() if "sensitivity 12.5, pruning 40.0" in line)
    assert spent.split()[-4:] == ["65,000", "13", "52.5", "26.2%"]
    assert "QAT: quantisation-aware training of resnet18, 150,000 images in 5 epochs, would take 200 s" in text
    assert "  cpu_openvino: weights take 7 bits, since here kernels would saturate products of 8 (no VNNI)" in text
    assert (
        "  hqp on cpu_openvino: certified: with probability 95% the drop is within 1.50 pp; measured 1.00, limit 1.32"
        in text
    )
    assert "  certified, each within 1.50 pp with probability 0.95: hqp on cpu_openvino\n" in text
    assert "  hqp on cpu_openvino: recovered by least squares, batch norms moved by what removal changes\n" in text
    assert "  hqp on cpu_openvino: the bound is broken: INT8 alone loses 74.40 pp\n" in text
    for told in ("a processor", "onnx 1.18.0, torch 2.9.0", "2026-03-01 12:00 UTC", "pytest suites/signs.py", "0.1.0"):
        assert told in text


def test_images_that_were_left_out_are_told_once(
    make_measurement: Make, make_sidecar: Callable[..., object], make_results: MakeResults
) -> None:
    one = make_measurement(sidecar=make_sidecar(images__skipped=("val/a.jpg",)), skipped_images=("val/b.jpg",))
    text = wide(make_results(one, replace(one, case=DENSE)))
    assert text.count("left out, since they could not be read: val/a.jpg, val/b.jpg") == 1
    assert "left out" not in wide(make_results(make_measurement()))


def test_the_bound_verdict_outranks_one_that_is_shown(
    make_measurement: Make, make_results: MakeResults, make_judgement: Callable[..., Judgement]
) -> None:
    measurement = make_measurement()
    judgements = (
        make_judgement(measurement, "speedup", "fail", bound=False), make_judgement(measurement, "speedup", "pass")
    )  # fmt: skip
    text = wide(make_results(measurement, judgements=judgements))
    assert cells(text, "latency and gates")["hqp"][-1] == "✓"


def test_what_was_not_measured_is_a_dash_and_never_zero(
    make_measurement: Make, make_results: MakeResults, make_sidecar: Callable[..., Sidecar]
) -> None:
    whole = make_measurement()
    bare = replace(
        whole,
        fp32_accuracy=None,
        metrics=(),
        latency=replace(whole.latency, blocks=(), disturbed=("hot",)),
        sidecar=make_sidecar(accuracy__pruned=None, spent__steps=(), choices__ranking=None),
    )
    text = wide(make_results(bare))
    assert cells(text, "accuracy and size")["hqp"][2:6] == ["98.95", "–", "99.48", "–"]
    assert cells(text, "latency and gates")["hqp"][2:] == ["–"] * 4
    assert "resnet18-hqp-cpu_openvino: 1 disturbed block dropped, hot" in text
    assert "gates: none binds these cases" in text


def test_a_run_without_a_measurement_still_says_where_it_comes_from(make_results: MakeResults) -> None:
    text = wide(make_results())
    assert "gates: none binds these cases" in text
    assert "pytest suites/signs.py" in text


@pytest.fixture
def long_results(
    make_measurement: Make, make_results: MakeResults, make_judgement: Callable[..., Judgement]
) -> Results:
    measurements = [
        make_measurement(case=Case("mobilenet_v3_large", method, device))
        for method in ("hqp", "magnitude") for device in ("cpu_openvino", "cpu_onnxruntime")
    ]  # fmt: skip
    gates = ("accuracy_drop", "latency_regression", "size", "speedup")
    judgements = tuple(make_judgement(row, gate, "fail") for row in measurements for gate in gates)
    judgements = tuple(
        replace(row, verdict=replace(row.verdict, reason="a long reason " * 20)) for row in judgements if row.verdict
    )
    return make_results(*measurements, judgements=judgements, question="is it so? " * 30)


def test_a_model_is_one_table_grouped_by_device(long_results: Results) -> None:
    lines = table.render(long_results, 100).partition("mobilenet_v3_large on signs, 96x96\n")[2].splitlines()
    assert lines[:10] == [
        "method                     median          speed-up    MB     θ    top-1          drop    gates",
        "                               ms                 x           %        %            pp",
        "---------------  ----------------  ----------------  ----  ----  -------  ------------  -------",
        "cpu_openvino",
        "  hqp            2.00 (1.99–2.01)  2.51 (2.49–2.51)  8.00  25.0    98.95  0.50 (≤0.65)    ✗ 0/4",
        "  magnitude      2.00 (1.99–2.01)  2.51 (2.49–2.51)  8.00  25.0    98.95  0.50 (≤0.65)    ✗ 0/4",
        "cpu_onnxruntime",
        "  hqp            2.00 (1.99–2.01)  2.51 (2.49–2.51)  8.00  25.0    98.95  0.50 (≤0.65)    ✗ 0/4",
        "  magnitude      2.00 (1.99–2.01)  2.51 (2.49–2.51)  8.00  25.0    98.95  0.50 (≤0.65)    ✗ 0/4",
        "  ✗ mobilenet_v3_large-hqp-cpu_openvino  accuracy_drop: a long reason a long reason a long reason a",
    ]


def test_a_run_of_no_suite_is_repeated_by_what_ran(
    make_measurement: Make, make_results: MakeResults, make_judgement: Callable[..., Judgement]
) -> None:
    measured = make_measurement()
    judgements = (make_judgement(measured, "size", "fail"),)
    text = wide(make_results(measured, judgements=judgements, command="hqp bench out --suite suites/signs.py"))
    assert "size: size says fail; try: hqp bench out --suite suites/signs.py\n" in text


@pytest.mark.parametrize("width", [80, 100, 150])
def test_no_line_is_wider_than_the_terminal(long_results: Results, width: int) -> None:
    lines = table.render(long_results, width).splitlines()
    # A command is not broken, so that it can be copied.
    assert max(len(line) for line in lines if "pytest suites/signs.py::" not in line) <= width


@pytest.mark.parametrize(
    ("width", "dropped"),
    [
        (
            80,
            ["inner θ %, params M, top-5 %, pruning pp", "p90 ms, p99 ms, peak memory MB", "passes, images, steps, s"],
        ),
        (100, ["inner θ %, params M", "p90 ms, p99 ms, peak memory MB", "passes"]),
        (150, []),
    ],
)
def test_columns_without_room_are_named(long_results: Results, width: int, dropped: list[str]) -> None:
    lines = table.laid_out(_sections.details(long_results), width).splitlines()
    assert [line.partition("not shown at this width: ")[2] for line in lines if "not shown at" in line] == dropped


def test_a_name_cannot_speak_to_the_terminal(make_measurement: Make, make_results: MakeResults) -> None:
    measurement = make_measurement(case=Case("net\x1b[31m", "q8", "cpu_openvino"))
    text = wide(make_results(measurement))
    assert "\x1b" not in text
    assert "net\\x1b[31m on signs" in text


def test_a_command_to_type_is_not_broken(make_measurement: Make, make_results: MakeResults) -> None:
    command = "hqp baseline update .hqp/results/a_suite_with_a_long_name.json"
    skipped = Judgement(
        "size", Case("net", "hqp", "cpu_openvino"), True, None, f"no baseline; to record one: {command}"
    )
    text = table.render(make_results(make_measurement(), judgements=(skipped,)), 80)
    assert f"\n    {command}\n" in text


def test_columns_that_must_stay_go_on_in_a_table_below(long_results: Results) -> None:
    speed = table.laid_out(_sections.details(long_results), 80).partition("latency and gates")[2].partition("\n\n")[0]
    rows = [line.split() for line in speed.splitlines() if line.startswith("hqp") and "cpu_openvino" in line]
    first, second = rows
    assert first[:3] == ["hqp", "cpu_openvino", "2.000"]
    assert second[:2] == ["hqp", "cpu_openvino"]
    assert (*first, *second).count("✗") == 4


def test_without_a_terminal_a_report_has_100_columns(long_results: Results, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")
    monkeypatch.setattr("os.get_terminal_size", _no_terminal)
    assert table.render(long_results) == table.render(long_results, 100)


def _no_terminal(_: int) -> os.terminal_size:
    raise OSError("not a terminal")
