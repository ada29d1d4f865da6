"""Baselines: where they stand, what is refused, what differs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hqp import baselines, documents
from hqp.baselines import Difference
from hqp.errors import Damaged, HqpError, Incomparable
from hqp.records import Baseline, Block, Case, Environment, Measurement, Metric, Results, Sidecar

Make = Callable[..., Measurement]
MakeResults = Callable[..., Results]

HERE = Environment({"machine": "x86_64", "governor": "performance", "openvino": "2025.2"})
OTHER_CASE = Case("resnet18", "q8", "cpu_openvino")


@pytest.fixture
def results(make_measurement: Make, make_results: MakeResults) -> Results:
    return make_results(
        make_measurement(),
        make_measurement(case=OTHER_CASE),
        make_measurement(case=Case("resnet18", "hqp", "cpu_onnxruntime")),
    )


def test_update_writes_one_file_a_device_and_find_reads_it(tmp_path: Path, results: Results) -> None:
    paths = baselines.update(tmp_path, results)
    assert paths == (
        tmp_path / "cpu_onnxruntime" / HERE.digest / "signs.json",
        tmp_path / "cpu_openvino" / HERE.digest / "signs.json",
    )
    found = baselines.find(tmp_path, "cpu_openvino", HERE, "signs")
    assert found == baselines.read(paths[1]) == baselines.from_results(results)[1]
    assert [str(entry.case) for entry in found.entries] == ["resnet18-hqp-cpu_openvino", "resnet18-q8-cpu_openvino"]
    entry, measurement = found.entry(OTHER_CASE), results.measurements[1]
    assert entry is not None
    assert (entry.latency, entry.accuracy) == (measurement.latency, measurement.accuracy)
    assert entry.metrics == (Metric("peak_memory", "bytes", (120_000_000.0,)),)
    assert (entry.model_sha256, entry.model_bytes, entry.sparsity) == ("b" * 64, 8_000_000, 0.25)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == sorted(paths)


def test_an_environment_without_a_baseline_has_none(tmp_path: Path, results: Results) -> None:
    baselines.update(tmp_path, results)
    slower = Environment({**HERE.facts, "governor": "powersave"})
    assert baselines.find(tmp_path, "cpu_openvino", slower, "signs") is None
    assert baselines.find(tmp_path, "cpu_openvino", HERE, "other") is None
    (nearest,) = baselines.others(tmp_path, "cpu_openvino", "signs")
    assert slower.differences(nearest.environment) == ["governor: powersave, performance"]
    assert baselines.others(tmp_path / "nowhere", "cpu_openvino", "signs") == ()


def test_a_baseline_moved_to_another_environment_is_refused_with_the_keys(tmp_path: Path, results: Results) -> None:
    old = baselines.update(tmp_path, results)[1]
    slower = Environment({"machine": "x86_64", "governor": "powersave", "openvino": "2025.2", "threads": "1"})
    place = baselines.path_of(tmp_path, "cpu_openvino", slower, "signs")
    place.parent.mkdir()
    old.rename(place)
    with pytest.raises(Incomparable) as refused:
        baselines.find(tmp_path, "cpu_openvino", slower, "signs")
    assert "(governor: powersave, performance; threads: 1, absent)" in str(refused.value)
    assert "try: git checkout" in str(refused.value)


def test_a_path_in_the_place_of_a_digest_is_refused_and_nobody_is_told_to_remove_it(
    tmp_path: Path, results: Results
) -> None:
    path = baselines.update(tmp_path / "my baselines", results)[1]
    value = json.loads(path.read_text())
    value["entries"][0]["model_sha256"] = "/etc/hostname"
    path.write_text(json.dumps(value))
    with pytest.raises(Damaged) as refused:
        baselines.find(tmp_path / "my baselines", "cpu_openvino", HERE, "signs")
    assert "is damaged at 'entries.0.model_sha256'" in str(refused.value)
    assert str(refused.value).endswith(f"try: git checkout '{path}'")


def test_a_baseline_whose_environment_was_edited_is_refused(tmp_path: Path, results: Results) -> None:
    path = baselines.update(tmp_path, results)[1]
    path.write_text(path.read_text().replace('"openvino": "2025.2"', '"openvino": "2024.0"'))
    with pytest.raises(Incomparable, match=r"\(openvino: 2025\.2, 2024\.0\)"):
        baselines.find(tmp_path, "cpu_openvino", HERE, "signs")


def test_the_latest_is_of_this_environment_or_else_the_newest_of_any(tmp_path: Path, results: Results) -> None:
    old, new, mine = (
        replace(
            results,
            date=f"2026-0{month}-01 12:00 UTC",
            measurements=tuple(
                replace(measurement, environment=Environment({**HERE.facts, "governor": governor}))
                for measurement in results.measurements
            ),
        )
        for month, governor in ((4, "powersave"), (5, "schedutil"), (3, "performance"))
    )
    for recorded in (new, old):
        baselines.update(tmp_path, recorded)
    found = baselines.latest(tmp_path, "cpu_openvino", "signs", HERE)
    assert found is not None and found.date == "2026-05-01 12:00 UTC"
    baselines.update(tmp_path, mine)
    (tmp_path / "cpu_openvino" / HERE.digest).rename(tmp_path / "cpu_openvino" / "renamed")
    for environment, date in ((HERE, mine.date), (None, new.date)):
        found = baselines.latest(tmp_path, "cpu_openvino", "signs", environment)
        assert found is not None and found.date == date
    assert baselines.latest(tmp_path, "cpu_openvino", "other", HERE) is None


def test_suites_of_one_file_name_in_two_folders_have_a_baseline_each(tmp_path: Path, results: Results) -> None:
    (path, _) = baselines.update(tmp_path, replace(results, suite="vision/suites/signs"))
    assert path == tmp_path / "cpu_onnxruntime" / HERE.digest / "vision/suites/signs.json"
    assert baselines.latest(tmp_path, "cpu_openvino", "signs", HERE) is None
    assert baselines.latest(tmp_path, "cpu_openvino", "vision/suites/signs", HERE) is not None
    assert baselines.devices(tmp_path, "vision/suites/signs") == ("cpu_onnxruntime", "cpu_openvino")
    assert baselines.devices(tmp_path, "signs") == ()


def test_a_changed_block_changes_one_line_of_the_file(tmp_path: Path, results: Results) -> None:
    path = baselines.update(tmp_path, results)[0]
    before = path.read_text().splitlines()
    (entry,) = baselines.read(path).entries
    blocks = (Block((1.0, 2.0), (3.0, 4.0), state={"mhz": 2600.0}), *entry.latency.blocks[1:])
    measurement = replace(results.measurements[2], latency=replace(entry.latency, blocks=blocks))
    baselines.update(tmp_path, replace(results, measurements=(measurement,)))
    after = path.read_text().splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    block = '{"reference_ms": [1.0, 2.0], "candidate_ms": [3.0, 4.0], "process": 0, "state": {"mhz": 2600.0}},'
    assert changed == [f"     {block}"]


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"suite": "other"}, "is of suite other on cpu_openvino"),
        ({"device": "cpu_onnxruntime"}, "holds resnet18-hqp-cpu_openvino, a case of another device"),
        ({"entries": 2}, "holds a case twice"),
        ({"schema_version": 0}, "has schema 0"),
    ],
)
def test_a_baseline_that_contradicts_its_place_is_damaged(
    tmp_path: Path, results: Results, changes: dict[str, object], wrong: str
) -> None:
    path = baselines.update(tmp_path, results)[1]
    stored = baselines.read(path)
    if "entries" in changes:
        changes = {"entries": stored.entries[:1] * 2}
    documents.write(path, replace(stored, **changes))  # type: ignore[arg-type]
    with pytest.raises(Damaged, match=wrong) as refused:
        baselines.find(tmp_path, "cpu_openvino", HERE, "signs")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "name", ["", ".", "..", "a//b", "a/../b", "a/", "../up", "/root", "a\\b", ".hidden", "-rf", "a b", "a\n", "ä"]
)
def test_a_name_that_could_leave_its_folder_is_refused(tmp_path: Path, results: Results, name: str) -> None:
    with pytest.raises(HqpError, match="suite name"):
        baselines.find(tmp_path, "cpu_openvino", HERE, name)
    with pytest.raises(HqpError, match="device name"):
        baselines.find(tmp_path, name, HERE, "signs")
    with pytest.raises(HqpError, match="cannot name a file"):
        baselines.others(tmp_path, name, "signs")
    with pytest.raises(HqpError, match="suite name"):
        baselines.update(tmp_path, replace(results, suite=name))
    assert not list(tmp_path.iterdir())


def test_nothing_is_written_where_one_device_is_refused(
    tmp_path: Path, make_measurement: Make, make_results: MakeResults
) -> None:
    changed = Environment({**HERE.facts, "governor": "powersave"})
    measurements = (
        make_measurement(case=Case("resnet18", "hqp", "cpu_onnxruntime")),
        make_measurement(),
        make_measurement(case=OTHER_CASE, environment=changed),
    )
    with pytest.raises(Incomparable, match=r"resnet18-q8-cpu_openvino is of another environment \(governor"):
        baselines.update(tmp_path, make_results(*measurements))
    assert not list(tmp_path.iterdir())


def test_results_without_or_with_double_measurements_make_no_baseline(
    make_measurement: Make, make_results: MakeResults
) -> None:
    with pytest.raises(HqpError, match="hold no measurement"):
        baselines.from_results(make_results())
    with pytest.raises(HqpError, match="hold resnet18-hqp-cpu_openvino twice"):
        baselines.from_results(make_results(make_measurement(), make_measurement()))


def test_diff_of_a_baseline_with_itself_is_empty(results: Results) -> None:
    (baseline, _) = baselines.from_results(results)
    assert baselines.diff(baseline, baseline) == ()


def test_diff_names_what_changed(
    make_measurement: Make, make_results: MakeResults, make_sidecar: Callable[..., Sidecar]
) -> None:
    before = make_measurement()
    after = make_measurement(
        sidecar=make_sidecar(file__sha256="c" * 64, file__size_bytes=7_000_000, filters__kept=2400),
        accuracy=replace(before.accuracy, correct=before.accuracy.correct, split_digest="e" * 64),
        latency=replace(before.latency, blocks=()),
    )
    old, new = (baselines.from_results(make_results(measurement))[0] for measurement in (before, after))
    found = {difference.what: (difference.old, difference.new) for difference in baselines.diff(old, new)}
    median = found.pop("median_latency_ms")
    assert found == {
        "model_sha256": ("b" * 64, "c" * 64),
        "model_bytes": (8_000_000, 7_000_000),
        "sparsity": (0.25, 0.5),
        "split_digest": ("d" * 64, "e" * 64),
    }
    assert median == (pytest.approx(2.0, abs=0.05), None)


def test_diff_names_each_metric_that_either_side_has(make_measurement: Make, make_results: MakeResults) -> None:
    energy, peak = Metric("energy", "mJ", (3.0, 5.0, 4.0)), Metric("peak_memory", "bytes", (7.0,))
    layer = Metric("time", "ms", (1.0,), of="conv1")
    old, new = (
        baselines.from_results(make_results(make_measurement(metrics=metrics)))[0]
        for metrics in ((peak, layer), (energy, Metric("peak_memory", "bytes", (8.0,))))
    )
    case = old.entries[0].case
    assert baselines.diff(old, new) == (
        Difference(case, "peak_memory", 7.0, 8.0, "bytes"),
        Difference(case, "energy", None, 4.0, "mJ"),
    )


def test_diff_names_counts_of_accuracy(
    make_measurement: Make, make_results: MakeResults, make_hits: Callable[..., tuple[object, object]]
) -> None:
    old, new = (
        baselines.from_results(make_results(make_measurement(accuracy=make_hits(lost, 0, 1000)[1])))[0]
        for lost in (10, 30)
    )
    case = old.entries[0].case
    assert baselines.diff(old, new) == (
        Difference(case, "correct", 980, 960),
        Difference(case, "correct_top5", 990, 980),
    )


def test_diff_names_added_and_removed_cases(results: Results) -> None:
    (_, both) = baselines.from_results(results)
    one = replace(both, entries=both.entries[:1])
    assert baselines.diff(one, both) == (Difference(OTHER_CASE, "model_sha256", None, "b" * 64),)
    assert baselines.diff(both, one) == (Difference(OTHER_CASE, "model_sha256", "b" * 64, None),)


def test_diff_of_two_environments_suites_or_devices_is_refused(results: Results) -> None:
    (onnxruntime, openvino) = baselines.from_results(results)
    changed: Baseline = replace(openvino, environment=Environment({**HERE.facts, "openvino": "2026.0"}))
    with pytest.raises(Incomparable, match=r"\(openvino: 2025\.2, 2026\.0\)"):
        baselines.diff(openvino, changed)
    for other in (onnxruntime, replace(openvino, suite="other")):
        with pytest.raises(HqpError, match="do not compare"):
            baselines.diff(openvino, other)
