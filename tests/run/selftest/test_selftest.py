"""Trials of the gate, end to end on a tiny network, and what they add up to."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.stats import binomtest

from hqp import cli, documents
from hqp.errors import HqpError
from hqp.records import SCHEMA_VERSION, PairedLatency
from hqp.run.remaining import Remaining
from hqp.run.selftest import beside, slowdown, trials
from hqp.run.selftest.running import Asked, selftest
from hqp.run.selftest.slowdown import NotMade
from hqp.run.selftest.summary import summary
from hqp.run.selftest.trials import Trial
from hqp.store import sha256_of

MakeLatency = Callable[..., PairedLatency]
DEVICE = "cpu_onnxruntime"


@pytest.fixture
def artefact(tmp_path: Path, make_sidecar: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> Path:
    """An artefact directory whose network is a convolution; it is the working directory's."""
    weights = np.random.default_rng(0).normal(0, 0.1, (8, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["image", "weights"], ["maps"], pads=[1, 1, 1, 1]),
        helper.make_node("GlobalAveragePool", ["maps"], ["means"]),
        helper.make_node("Flatten", ["means"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, 32, 32])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, 8])
    graph = helper.make_graph(nodes, "tiny", [image], [logits], [numpy_helper.from_array(weights, "weights")])
    folder = tmp_path / "tiny"
    folder.mkdir()
    file = folder / "model.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    sidecar = make_sidecar()
    documents.write(folder / "hqp.json", replace(sidecar, file=replace(sidecar.file, sha256=sha256_of(file))))
    monkeypatch.chdir(tmp_path)
    return folder


def test_trials_are_kept_and_add_up_over_calls(artefact: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["selftest", str(artefact), "--percent", "0", "--rounds", "10", "--keep-disturbed", "--margin", "0.5"]
    assert cli.main([*words, "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    (row,) = first["rows"]
    assert (row["slower_percent"], row["trials"], row["failed"] + row["inconclusive"] + row["passed"]) == (0.0, 1, 1)
    assert [rival["rule"].split(",")[0] for rival in first["rivals"]] == ["pytest-benchmark", "asv", "criterion"]
    # Nothing more is tried, and a trial with another margin is no part of it.
    assert cli.main([*words, "--json", "--runs", "0"]) == 0
    assert json.loads(capsys.readouterr().out) == first
    assert cli.main(["selftest", str(artefact), "--runs", "0", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["rows"] == []
    (file,) = Path(".hqp/selftest").rglob("*.json")
    kept = documents.read(file, Trial, fix="")
    assert (kept.asked, kept.margin, kept.keeps_disturbed, kept.latency.processes) == (0.0, 0.5, True, 5)
    assert cli.main([*words, "--runs", "0"]) == 0
    assert "false alarm" in capsys.readouterr().out
    assert cli.main([*words, "--runs", "0", "--format", "markdown"]) == 0
    page = capsys.readouterr().out.splitlines()
    assert page[0].startswith("`latency_regression`, margin 0.5, on `cpu_onnxruntime`, environment `")
    assert page[2].split("|")[2].strip() == "the same file: false alarms"
    assert len(page) == 2 + 2 + 8 and page[4].startswith("| HQP, margin 0.5 ")


def test_no_trial_begins_when_time_is_up(artefact: Path) -> None:
    asked = Asked(DEVICE, 0.5, (0.0,), runs=3, minutes=1e-9, rounds=10, keeps_disturbed=True)
    assert selftest(asked, artefact).rows == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"margin": 0.0}, "the margin is 0; a share above 0 and below 1"),
        ({"margin": 2.0}, "the margin is 2; a share above 0 and below 1"),
        ({"percents": ()}, r"slow-downs of \(\) percent"),
        ({"percents": (-1.0,)}, r"slow-downs of \(-1.0,\) percent; each from 0 to 100"),
    ],
)
def test_numbers_that_are_none_are_refused(artefact: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(HqpError, match=said):
        selftest(replace(Asked(DEVICE, 0.02), **changes), artefact)


def two_layers_cost_4_percent(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a runtime where the least layer costs 4% of the network's time; none is really timed."""
    monkeypatch.setattr(slowdown, "_cost", lambda context, device, file, slowed, processes: _width(slowed))


def _width(file: Path) -> float:
    added = [tensor.dims for tensor in onnx.load(file).graph.initializer if tensor.name == "slowing_there"]
    return 0.04 + 1e-5 * (added[0][1] - added[0][0])


def test_a_usual_slow_down_that_cannot_be_made_is_left_out_and_said(
    artefact: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two_layers_cost_4_percent(monkeypatch)
    assert cli.main(["selftest", str(artefact), "--minutes", "1e-9"]) == 0
    printed = capsys.readouterr()
    nearest = "the nearest that a layer makes here is 4%"
    assert [line for line in printed.out.splitlines() if line.startswith("left out")] == [
        f"left out: 1% slower; {nearest}",
        f"left out: 2% slower; {nearest}",
    ]
    assert "left out: no layer slows the network down by 1%: the nearest, 4.00%" in printed.err
    assert cli.main(["selftest", str(artefact), "--minutes", "1e-9", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["left_out"][0] == {"slower_percent": 1.0, "nearest_percent": 4.0}


def test_a_slow_down_that_is_named_must_be_made(artefact: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    two_layers_cost_4_percent(monkeypatch)
    with pytest.raises(NotMade, match="no layer slows the network down by 1%"):
        selftest(Asked(DEVICE, 0.02, (0.0, 1.0)), artefact)


def test_the_time_left_counts_what_is_to_be_found_and_tried(
    artefact: Path, monkeypatch: pytest.MonkeyPatch, make_latency: MakeLatency
) -> None:
    two_layers_cost_4_percent(monkeypatch)
    ahead: list[int] = []
    begin = Remaining.begin

    def begun(remaining: Remaining, stage: str) -> None:
        begin(remaining, stage)
        ahead.append(len(remaining._ahead))

    monkeypatch.setattr(Remaining, "begin", begun)
    same = trial(make_latency([[1.0]] * 6, [[1.0]] * 6), "pass")
    monkeypatch.setattr(trials, "trial", lambda context, subject, slowed, *others: replace(same, asked=slowed.asked))
    selftest(Asked(DEVICE, 0.02, runs=2), artefact)
    # Six to find and two trials of each; four trials of what cannot be made are over as soon as that is known.
    assert ahead == list(reversed(range(6 + 2 * 6)))


def trial(latency: PairedLatency, outcome: Any, asked: float = 0.0, **changes: Any) -> Trial:
    whole = Trial(
        schema_version=SCHEMA_VERSION,
        date="2026-11-27 20:00:00 UTC",
        device=DEVICE,
        environment="e" * 12,
        model_sha256="b" * 64,
        margin=0.02,
        asked=asked,
        slower=1.1 * asked,
        busy=0,
        keeps_disturbed=False,
        outcome=outcome,
        reason="",
        seconds=20.0,
        latency=latency,
        confirmation=None,
        control=None,
    )
    return replace(whole, **changes)


def test_false_alarms_found_and_open_are_counted_apart_with_exact_intervals(make_latency: MakeLatency) -> None:
    same = make_latency([[1.0]] * 6, [[1.0]] * 6)
    done = [
        *[trial(same, "pass") for _ in range(57)],
        *[trial(same, "inconclusive", seconds=50.0) for _ in range(2)],
        trial(same, "fail"),
        *[trial(same, "fail", 0.05) for _ in range(20)],
        *[trial(same, "fail", 0.02) for _ in range(15)],
        *[trial(same, "inconclusive", 0.02) for _ in range(5)],
        trial(same, "inconclusive", busy=1),
    ]
    made = summary(DEVICE, "e" * 12, "b" * 64, 0.02, done)
    counted = [
        (row.busy, row.slower_percent, row.trials, row.failed, row.inconclusive, row.passed) for row in made.rows
    ]
    assert counted == [(0, 0.0, 60, 1, 2, 57), (0, 2.0, 20, 15, 5, 0), (0, 5.0, 20, 20, 0, 0), (1, 0.0, 1, 0, 1, 0)]
    alarms = binomtest(1, 60).proportion_ci(0.95, "exact")
    told = made.rows[0].failed_percent
    assert (told.lower, told.upper) == pytest.approx((100 * alarms.low, 100 * alarms.high))
    assert (made.rows[0].seconds, made.rows[0].longest_seconds) == (20.0, 50.0)
    # 15 of 20 found bound it at 51%, 20 of 20 at 83%: only the latter is four of five for sure.
    assert made.found_from_percent == 5.0
    assert made.rows[2].measured_percent == 5.5


def test_what_is_detectable_follows_from_the_scatter_of_processes(make_latency: MakeLatency) -> None:
    same = make_latency([[1.0]] * 6, [[1.0]] * 6)
    assert summary(DEVICE, "", "", 0.02, [trial(same, "pass")]).detectable_percent == 2.0
    scattered = make_latency([[1.0]] * 6, [[1.0 + 0.01 * number] for number in range(6)])
    detectable = summary(DEVICE, "", "", 0.02, [trial(scattered, "pass")]).detectable_percent
    assert detectable is not None and 3.0 < detectable < 5.0
    assert summary(DEVICE, "", "", 0.02, []).detectable_percent is None


def test_rivals_judge_a_trial_s_arms_and_the_trial_before(make_latency: MakeLatency) -> None:
    def machine(factor: float) -> PairedLatency:
        """Both arms alike, on a machine that was slower by a factor."""
        samples = [[factor * (1 + 0.001 * number)] * 5 for number in range(6)]
        return make_latency(samples, samples)

    made = summary(DEVICE, "", "", 0.02, [trial(machine(1.0), "pass"), trial(machine(1.2), "pass")])
    told = {rival.rule.split(",")[0]: (rival.alarms, rival.alarms_before) for rival in made.rivals}
    # Side by side nothing differs; a run that was stored before the machine became slower alarms.
    assert told == {"pytest-benchmark": (0, 1), "asv": (0, 1), "criterion": (0, 1)}


def test_false_alarms_and_misses_stand_beside_those_of_other_rules(make_latency: MakeLatency) -> None:
    same = make_latency([[1.0] * 5] * 6, [[1.0] * 5] * 6)
    slower = make_latency([[1.0] * 5] * 6, [[1.1] * 5] * 6)
    done = [
        *[trial(same, outcome) for outcome in ("pass", "inconclusive", "fail")],
        *[trial(slower, outcome, 0.1) for outcome in ("fail", "fail", "inconclusive")],
        trial(same, "pass", busy=1),
    ]
    rows = beside.rows(summary(DEVICE, "", "", 0.02, done))
    assert rows[:5] == [
        ["", "the same file: false alarms", "10% slower: missed", "the same file, 1 busy: false alarms"],
        ["HQP, margin 0.02", "1 of 3", "1 of 3", "0 of 1"],
        ["HQP, margin 0.02: inconclusive", "1 of 3", "1 of 3", "0 of 1"],
        ["pytest-benchmark, median:5%: beside the other arm", "0 of 3", "0 of 3", "0 of 1"],
        ["pytest-benchmark, median:5%: beside the run before", "0 of 2", "0 of 2", "0 of 0"],
    ]
    assert len(rows) == 1 + 2 + 2 * 3
