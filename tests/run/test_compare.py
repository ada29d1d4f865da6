"""``hqp compare``: what two runs share is set beside each other with intervals, and what they do not share is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqp import cli, documents
from hqp.errors import HqpError
from hqp.records import Accuracy, Case, Environment, Measurement, PairedLatency, Results
from hqp.run.compare import compare, text

Make = Callable[..., Measurement]
MakeResults = Callable[..., Results]
MakeHits = Callable[..., tuple[Accuracy, Accuracy]]
MakeLatency = Callable[..., PairedLatency]


@pytest.fixture
def write(tmp_path: Path, make_results: MakeResults) -> Callable[..., Path]:
    def written(name: str, *measurements: Measurement) -> Path:
        path = tmp_path / name
        documents.write(path, make_results(*measurements))
        return path

    return written


def test_a_case_of_both_runs_is_compared_with_intervals(
    write: Callable[..., Path], make_measurement: Make, make_hits: MakeHits, make_latency: MakeLatency
) -> None:
    reference, worse = make_hits(lost=200)
    times = make_latency([[4.0, 4.0, 4.0]] * 20, [[2.0, 2.0, 2.0]] * 20)
    faster = make_latency([[4.0, 4.0, 4.0]] * 20, [[1.6, 1.6, 1.6]] * 20)
    before = make_measurement(accuracy=reference, fp32_accuracy=reference, latency=times)
    after = make_measurement(accuracy=worse, fp32_accuracy=reference, latency=faster)
    (one,) = compare(write("a.json", before), write("b.json", after))
    assert one.top1_lost_pp is not None and one.speedup_ratio is not None
    assert one.top1_lost_pp.value == 1.0 and one.top1_lost_pp.lower < 1.0 < one.top1_lost_pp.upper
    assert one.speedup_ratio.value == pytest.approx(1.25) and one.differing == ()
    shown = text((one,))
    assert "2.00→2.50" in shown and "1.250 (1.250 to 1.250)" in shown and "1.00 (0." in shown
    assert f"{before.case} is faster: 1.250 (1.250 to 1.250) times as fast as before\n" in shown
    assert f"{before.case} is less accurate, by 1.00 points of top-1 (lost 1.00 (0." in shown


def test_what_may_be_the_same_is_not_said_to_have_changed_and_all_fits_the_terminal(
    write: Callable[..., Path], make_measurement: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    devices = ("cpu_onnxruntime", "jetson_agx_xavier_dla")
    cases = [Case("torchvision:regnet_y_3_2gf", "hqp_finetuned", device) for device in devices]
    measured = [make_measurement(case=case) for case in cases]
    shown = text(compare(write("a.json", *measured), write("b.json", *measured)))
    assert "times as fast" not in shown and "accurate" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    assert [line.split()[0] for line in shown.splitlines() if not line.startswith("  ")][-2:] == list(devices)


def test_what_only_one_run_has_is_told_and_what_differs_is_named(
    write: Callable[..., Path], make_measurement: Make, make_hits: MakeHits
) -> None:
    shared = make_measurement()
    others = replace(shared.accuracy, split_digest="e" * 64)
    elsewhere = replace(shared, accuracy=others, environment=Environment({"cpu": "another"}))
    alone = make_measurement(case=Case("resnet18", "q8", "cpu_openvino"))
    found = compare(write("a.json", shared), write("b.json", elsewhere, alone))
    shown = text(found)
    assert [str(one.case) for one in found] == [str(shared.case), str(alone.case)]
    assert found[0].top1_lost_pp is None and "cpu" in found[0].differing
    assert f"{shared.case}: the runs judged different images, so what was lost is not told" in shown
    assert f"{alone.case} is in one run only" in shown and "was another environment: cpu" in shown


def test_runs_of_different_suites_are_refused_in_one_line(
    write: Callable[..., Path], make_measurement: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    first = write("a.json", make_measurement())
    second = write("b.json", make_measurement(case=Case("other", "hqp", "cpu_openvino")))
    with pytest.raises(HqpError, match="have no case in common"):
        compare(first, second)
    assert cli.main(["compare", str(first), str(second)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
