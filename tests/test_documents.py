"""Every file that HQP reads: whole and right, or refused in one line."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import MISSING, fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqp import baselines, documents, records
from hqp.errors import Damaged, HqpError
from hqp.records import (
    Baseline,
    BaselineEntry,
    Case,
    Digest,
    Environment,
    Estimate,
    Judgement,
    Metric,
    Objective,
    Outcome,
    Pruning,
    Quantization,
    Ranking,
    Recipe,
    Rerun,
    Results,
    Sidecar,
    Verdict,
)

SCHEMAS = {Sidecar: 2, Results: 2, Baseline: 2}
KINDS = tuple(SCHEMAS)
# Fields whose keys are not names of fields.
MAPPINGS = (("versions",), ("machine",), ("facts",), ("split_digests",), ("divergences",), ("state",))
FIX = "make it anew"
DIGEST = re.compile("[0-9a-f]{64}", re.ASCII)

RECORDS = [value for value in vars(records).values() if isinstance(value, type) and is_dataclass(value)]

# Names of fields that may be absent from a file, and of those that may be null.
DEFAULTED = {
    field.name
    for record in RECORDS
    for field in fields(record)
    if field.default is not MISSING or field.default_factory is not MISSING
}
NULLABLE = {name for record in RECORDS for name, kind in get_type_hints(record).items() if type(None) in get_args(kind)}


@pytest.fixture(scope="module")
def examples(
    make_accuracy: Callable[..., Any],
    make_sidecar: Callable[..., Any],
    make_measurement: Callable[..., Any],
    make_latency: Callable[..., Any],
    make_judgement: Callable[..., Any],
    make_results: Callable[..., Any],
) -> dict[type, Any]:
    """A small but full record of each kind of file."""
    recipe = Recipe(Pruning((Ranking("magnitude", norm="l2", per_layer=True),)), Quantization())
    sidecar = make_sidecar(settings__recipe=recipe)
    hits, latency = make_accuracy([True, False, True]), make_latency([[1.5, 2.0]], [[1.0, 1.25]])
    rerun = Rerun("e" * 64, ("cpu: one, another",), "", replace(latency, disturbed=("hot",)), hits)
    measurement = make_measurement(sidecar=sidecar, accuracy=hits, fp32_accuracy=hits, latency=latency, baseline=rerun)
    results = make_results(measurement, judgements=(make_judgement(measurement, "size", "pass"),))
    return {Sidecar: sidecar, Results: results, Baseline: baselines.from_results(results)[0]}


def refused(text: str, kind: type) -> str:
    """The message with which a text is refused, one line."""
    with pytest.raises(Damaged) as error:
        documents.from_json(text, kind, "file.json", FIX)
    message = str(error.value)
    assert "\n" not in message
    assert message.startswith("file.json ")
    assert message.endswith(f"; try: {FIX}")
    return message


# --- reading what was written -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_read_and_gives_the_same_bytes(
    examples: dict[type, Any], kind: type, tmp_path: Path
) -> None:
    path = tmp_path / "folder" / "file.json"
    documents.write(path, examples[kind])
    found = documents.read(path, kind, FIX)
    assert found == examples[kind]
    assert path.read_text(encoding="utf-8") == documents.to_json(found)


FLOATS = st.floats(allow_nan=False, allow_infinity=False)
OPTIONS = st.one_of(st.text(max_size=9), st.booleans(), st.integers(), FLOATS)
RANKINGS = st.builds(
    Ranking, st.text(max_size=9), st.lists(st.tuples(st.text(max_size=9), OPTIONS), max_size=2).map(tuple)
)
PRUNINGS = st.builds(
    Pruning, st.lists(RANKINGS, max_size=2).map(tuple), FLOATS, st.sampled_from(["linear", "galloping"])
)
CALIBRATIONS = st.lists(st.sampled_from(["kl", "percentile", "mse", "minmax"]), min_size=1, unique=True).map(tuple)
QUANTIZATIONS = st.builds(Quantization, CALIBRATIONS, st.integers(), st.integers())
PRECISIONS = st.sampled_from(["fp32", "fp16"])
OBJECTIVES = st.sampled_from(get_args(Objective))
RECIPES = st.builds(Recipe, st.none() | PRUNINGS, st.none() | QUANTIZATIONS, PRECISIONS, OBJECTIVES, st.booleans())
CASES = st.builds(Case, *[st.text(max_size=9)] * 3)
FACTS = st.dictionaries(st.text(max_size=9), st.text(max_size=9), max_size=3)
ESTIMATES = st.builds(Estimate, *[FLOATS] * 4)
VERDICTS = st.builds(
    Verdict, st.text(max_size=9), st.sampled_from(get_args(Outcome)), st.text(), st.none() | ESTIMATES,
    st.dictionaries(st.text(max_size=9), FLOATS, max_size=2),
)  # fmt: skip
METRICS = st.builds(
    Metric, st.text(max_size=9), st.text(max_size=9), st.lists(FLOATS, min_size=1, max_size=3).map(tuple)
)
JUDGEMENTS = st.builds(
    Judgement, st.text(max_size=9), CASES, st.booleans(), st.none() | VERDICTS, st.none() | st.text(max_size=9)
)


@given(st.data())
@settings(max_examples=25, deadline=None)
@pytest.mark.parametrize("kind", KINDS)
def test_any_record_comes_back_equal(examples: dict[type, Any], kind: type, data: st.DataObject) -> None:
    record = examples[kind]
    if kind is Sidecar:
        changed = replace(
            record,
            settings=replace(record.settings, recipe=data.draw(RECIPES), seed=data.draw(st.integers(0))),
            images=replace(record.images, mean=data.draw(st.tuples(FLOATS, FLOATS, FLOATS))),
            filters=replace(record.filters, kept=data.draw(st.integers(0, record.filters.total))),
            choices=replace(record.choices, ranking=data.draw(st.none() | st.text())),
            origin=replace(record.origin, versions=data.draw(FACTS)),
        )
    elif kind is Results:
        changed = replace(
            record, question=data.draw(st.text()), machine=data.draw(FACTS),
            judgements=tuple(data.draw(st.lists(JUDGEMENTS, max_size=3))),
        )  # fmt: skip
    else:
        entries: list[BaselineEntry] = data.draw(st.lists(st.builds(
            BaselineEntry, CASES, st.from_regex(DIGEST, fullmatch=True), st.integers(), FLOATS,
            st.just(record.entries[0].latency), st.just(record.entries[0].accuracy),
            st.lists(METRICS, max_size=2).map(tuple),
        ), max_size=3))  # fmt: skip
        changed = replace(record, environment=Environment(data.draw(FACTS)), entries=tuple(entries))
    assert documents.from_json(documents.to_json(changed), kind, "file.json", FIX) == changed


def test_a_record_that_holds_no_number_is_not_written(examples: dict[type, Any], tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    documents.write(path, examples[Sidecar])
    before = path.read_bytes()
    images = replace(examples[Sidecar].images, mean=(0.5, 0.5, float("nan")))
    with pytest.raises(ValueError, match="not JSON compliant"):
        documents.write(path, replace(examples[Sidecar], images=images))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# --- refusing what is damaged -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_cut_off_at_any_byte_it_is_refused(examples: dict[type, Any], kind: type) -> None:
    text = documents.to_json(examples[kind])
    assert text.endswith("}\n")
    for length in range(len(text) - 1):
        refused(text[:length], kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("schema", [0, 3, "1", "2", None, [], True, 1.0, 2.0])
def test_another_schema_is_refused(examples: dict[type, Any], kind: type, schema: Any) -> None:
    value = json.loads(documents.to_json(examples[kind]))
    value["schema_version"] = schema
    assert f"has schema {schema!r}; this HQP reads schema {SCHEMAS[kind]}" in refused(json.dumps(value), kind)
    del value["schema_version"]
    assert "has schema None" in refused(json.dumps(value), kind)


def test_what_an_older_hqp_wrote_is_refused_by_its_schema(examples: dict[type, Any]) -> None:
    for kind in KINDS:
        value = json.loads(documents.to_json(examples[kind]))
        value["schema_version"] = 1
        assert refused(json.dumps(value), kind) == f"file.json has schema 1; this HQP reads schema 2; try: {FIX}"


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every place in a JSON value with what stands there."""
    yield path, value
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value if isinstance(value, list) else ()):
        yield from places(inner, (*path, key))


def changed(text: str, path: tuple[Any, ...], change: Callable[[Any, Any], None]) -> str:
    root = json.loads(text)
    place = root
    for key in path[:-1]:
        place = place[key]
    change(place, path[-1])
    return json.dumps(root)


def wrong_types(value: Any) -> list[Any]:
    """Values that stand for what ``value`` is, but are of another type."""
    if isinstance(value, bool):
        return ["true", [], None]
    if isinstance(value, int):
        return [str(value), value + 0.5, True, None, float("nan")]
    if isinstance(value, float):
        return [str(value), True, None, float("nan"), float("inf"), float("-inf")]
    if isinstance(value, str):
        return [7, [value], {}, None]
    return [[], 0, "x", None] if isinstance(value, dict) else [{}, 0, "x", None]


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_another_type_is_refused_and_its_place_is_named(examples: dict[type, Any], kind: type) -> None:
    text = documents.to_json(examples[kind])
    for path, value in places(json.loads(text)):
        # What may be None may be a record: a wrong one is met at the records that are there.
        if value is None or not path or path[-1] == "schema_version" or "options" in path:
            continue
        for wrong in wrong_types(value):
            if wrong is None and path[-1] in NULLABLE:
                continue

            def put(place: Any, key: Any, wrong: Any = wrong) -> None:
                place[key] = wrong

            message = refused(changed(text, path, put), kind)
            assert "NaN" in message or "Infinity" in message or f"damaged at '{path[0]}" in message, (path, wrong)


OUT_OF_RANGE = {
    "network.input_size": (-3, 0, 7, 4097),
    "network.num_classes": (0,),
    "settings.seed": (-1,),
    "settings.delta_max_pp": (0.0, 101.0),
    "file.size_bytes": (0, -1),
    "fp32_file.size_bytes": (0,),
    "filters.total": (0, -1),
    "filters.kept": (-1,),
    "filters.inner": (-1,),
    "images.std": ([0.5, 0.0, 0.5],),
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field in OUT_OF_RANGE for value in OUT_OF_RANGE[field]]
)
def test_a_number_out_of_its_range_is_refused(examples: dict[type, Any], field: str, value: Any) -> None:
    def put(place: Any, key: Any) -> None:
        place[key] = value

    message = refused(changed(documents.to_json(examples[Sidecar]), tuple(field.split(".")), put), Sidecar)
    assert f"damaged at '{field}" in message


PATHS = st.sampled_from(["/etc/passwd", "../" * 9, "b" * 63, "b" * 65, "B" * 64, "b" * 64 + "\n", "é" * 64, ""])


@given(st.data())
@settings(max_examples=50, deadline=None)
@pytest.mark.parametrize("kind", KINDS)
def test_a_digest_that_is_anything_else_is_refused(examples: dict[type, Any], kind: type, data: st.DataObject) -> None:
    """A digest names a file, so one that climbs out of its folder is no digest."""
    text = documents.to_json(examples[kind])
    digests = [path for path, value in places(json.loads(text)) if isinstance(value, str) and DIGEST.fullmatch(value)]
    path = data.draw(st.sampled_from(digests))
    wrong = data.draw(PATHS | st.text().filter(lambda text: not DIGEST.fullmatch(text)))
    message = refused(changed(text, path, lambda place, key: place.__setitem__(key, wrong)), kind)
    assert f"damaged at '{'.'.join(map(str, path))}': String should match pattern" in message


def test_every_field_that_holds_a_digest_has_its_type() -> None:
    named = {
        f"{record.__name__}.{name}": kind
        for record in RECORDS
        for name, kind in get_type_hints(record, include_extras=True).items()
        if "digest" in name or "sha256" in name
    }
    assert named["Network.checkpoint_sha256"] == named["BaselineEntry.model_sha256"] == named["Accuracy.split_digest"]
    assert set(map(str, named.values())) == {str(Digest), str(dict[str, Digest])}


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_field_is_refused(examples: dict[type, Any], kind: type) -> None:
    text = documents.to_json(examples[kind])
    for path, _ in places(json.loads(text)):
        named = path and isinstance(path[-1], str) and path[-2:-1] not in MAPPINGS
        if named and path[-1] not in DEFAULTED | {"schema_version", "limit"}:
            assert path[-1] in refused(changed(text, path, lambda place, key: place.pop(key)), kind)


@pytest.mark.parametrize(
    "text",
    ["", "{", "null", "[]", "7", '"text"', "\ufeff{}", "{}{}", "[" * 100_000, "1" * 10_000, '{"schema_version": NaN}'],
    ids=range(11),
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_such_document_is_refused(text: str, kind: type) -> None:
    refused(text, kind)


@given(st.binary(max_size=60))
def test_any_bytes_are_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "any.json"
    path.write_bytes(content)
    with pytest.raises(Damaged) as error:
        documents.read(path, Baseline, FIX)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"hits": "AAA"}, {"hits": "not base64!"}, {"hits": ""}, {"total": 0}, {"total": 4000}, {"correct": 1},
        {"correct": 4}, {"correct_top5": 1}, {"correct_top5": 4},
    ],
)  # fmt: skip
def test_counts_that_contradict_each_other_are_refused(examples: dict[type, Any], change: dict[str, Any]) -> None:
    value = json.loads(documents.to_json(examples[Baseline]))
    value["entries"][0]["accuracy"].update(change)
    assert "entries.0.accuracy" in refused(json.dumps(value), Baseline)


@pytest.mark.parametrize("change", [{"kept": 4801}, {"inner_kept": 1921}])
def test_more_filters_kept_than_there_were_are_refused(examples: dict[type, Any], change: dict[str, int]) -> None:
    value = json.loads(documents.to_json(examples[Sidecar]))
    value["filters"].update(change)
    assert "more filters are kept than there were" in refused(json.dumps(value), Sidecar)


@pytest.mark.parametrize("times", [[], [0.0], [-1.0], [1.0, math.inf], [math.nan], [None], ["1"]])
@pytest.mark.parametrize("arm", ["reference_ms", "candidate_ms"])
@pytest.mark.parametrize(("kind", "measured"), [(Baseline, "entries"), (Results, "measurements")])
def test_a_block_without_finite_times_above_0_is_refused(
    examples: dict[type, Any], kind: type, measured: str, arm: str, times: list[Any]
) -> None:
    value = json.loads(documents.to_json(examples[kind]))
    value[measured][0]["latency"]["blocks"][0][arm] = times
    said = refused(json.dumps(value), kind)
    # What JSON has no word for is refused before it has a place.
    assert f"{measured}.0.latency.blocks.0" in said or "NaN" in said or "Infinity" in said


# --- files --------------------------------------------------------------------------------------------------------


def test_no_file_and_a_folder_are_told_apart(tmp_path: Path) -> None:
    for path, wrong in ((tmp_path / "absent.json", "there is no file"), (tmp_path, "is no JSON file")):
        with pytest.raises(HqpError, match=wrong) as error:
            documents.read(path, Baseline, FIX)
        assert str(error.value).endswith(f"try: {FIX}")


def test_a_killed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file.json"
    documents.write_bytes(path, b"old")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        documents.write_bytes(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_list_of_records_is_one_document() -> None:
    listed = documents.list_to_json((Case("a", "b", "c"), Case("d", "e", "f")))
    assert [case["model"] for case in json.loads(listed)] == ["a", "d"]
