"""A policy is a file: written beside an artefact, edited, used again, and refused where it cannot be followed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest

from hqp import documents
from hqp.errors import Damaged, HqpError
from hqp.measure import environment
from hqp.records import Device, LayerChoice, LayerRecord, Policy, PolicyFile, Precisions, Quantization, Recipe
from hqp.run import delivery
from hqp.run.inputs import artifacts, policies

COMPRESS = ("-m", "hqp", "compress", "squarenet", "--dataset", "squares", "--device", "cpu_onnxruntime")
Q8 = (*COMPRESS, "--method", "q8", "--delta-max", "5")

INT8 = Recipe(quantization=Quantization())
CPU = Device("onnxruntime", 1, ("fp32", "int8"), Policy(), "a CPU")


def test_a_policy_is_written_edited_and_used_again(project: Path, run: Any, tmp_path: Path) -> None:
    done = run(*Q8, "--out", str(tmp_path / "uniform"))
    assert done.returncode == 0, done.stderr
    given = json.loads((tmp_path / "uniform/policy.json").read_text())
    assert set(given["layers"].values()) == {"int8"} and (given["floats"], given["why"]) == ("fp32", {})

    first = next(iter(given["layers"]))
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps({"schema_version": 1, "layers": {first: "float"}}))
    done = run(*Q8, "--policy", str(edited), "--out", str(tmp_path / "mixed"))
    assert done.returncode == 0, done.stderr
    precisions = {
        layer["layer"]: layer["precision"] for layer in json.loads((tmp_path / "mixed/layers.json").read_text())
    }
    assert precisions == {layer: "fp32" if layer == first else "int8" for layer in given["layers"]}
    written = tmp_path / "mixed/policy.json"
    assert json.loads(written.read_text())["layers"] == {**given["layers"], first: "float"}

    again = run(*Q8, "--policy", str(written), "--out", str(tmp_path / "again"))
    assert again.returncode == 0, again.stderr
    files = [tmp_path / name / "model.onnx" for name in ("uniform", "mixed", "again")]
    uniform, mixed, same = (file.read_bytes() for file in files)
    assert mixed == same != uniform

    edited.write_text(json.dumps({"schema_version": 1, "layers": {f"{first}x": "float"}}))
    wrong = run(*Q8, "--policy", str(edited), "--out", str(tmp_path / "wrong"))
    assert wrong.returncode == 2 and f"policy '{first}x'; did you mean {first}?" in wrong.stderr
    assert not (tmp_path / "wrong").exists()


def test_a_policy_says_how_much_of_each_layer_may_go(project: Path, run: Any, tmp_path: Path) -> None:
    def compress(out: str, *words: str) -> Any:
        done = run(*COMPRESS, "--method", "magnitude", "--delta-max", "20", *words, "--out", str(tmp_path / out))
        assert done.returncode == 0, done.stderr
        return json.loads((tmp_path / out / "layers.json").read_text())

    layers = compress("free")
    written = tmp_path / "free/policy.json"
    policy = json.loads(written.read_text())
    gone = {layer["layer"]: layer["channels"] - layer["kept_channels"] for layer in layers}
    shares = {layer["layer"]: round(gone[layer["layer"]] / layer["channels"], 4) for layer in layers}
    most = max(shares, key=lambda layer: shares[layer])
    assert policy["pruned"] == shares and shares[most] > 0
    assert policy["why"][most].startswith(f"{gone[most]} of ")

    assert compress("again", "--policy", str(written)) == layers
    files = [tmp_path / name / "model.onnx" for name in ("free", "again")]
    assert files[0].read_bytes() == files[1].read_bytes()

    policy["pruned"][most] = 0.0
    edited = tmp_path / "edited.json"
    edited.write_text(json.dumps(policy))
    limited = compress("less", "--policy", str(edited))
    for layer in limited:
        assert layer["channels"] - layer["kept_channels"] <= (0 if layer["layer"] == most else gone[layer["layer"]])


@pytest.mark.parametrize(
    ("given", "recipe", "wrong"),
    [
        (PolicyFile(1, {}), Recipe(), "--policy gives layers a precision, and nothing is quantised"),
        (PolicyFile(1, {}, "bf16"), INT8, "the policy computes in BF16, and device 'cpu' has FP32, INT8"),
    ],
)
def test_a_policy_that_cannot_be_followed_is_refused(given: PolicyFile, recipe: Recipe, wrong: str) -> None:
    with pytest.raises(HqpError, match=wrong):
        policies.require_usable(given, CPU, "cpu", recipe)


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"schema_version": 1, "layers": {"a": "int7"}}',
        '{"schema_version": 1, "layers": {}, "pruned": {"a": 2}}',
        "layers: {}",
    ],
)
def test_what_is_no_policy_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "policy.json"
    file.write_text(text)
    with pytest.raises(Damaged) as raised:
        policies.read(file)
    assert "\n" not in str(raised.value) and "hqp compress" in str(raised.value)


def test_a_policy_leaves_to_the_device_how_it_wants_its_int8() -> None:
    policy = Policy("int8", symmetric=True, weight_bits=7, layers={"a": "float"})
    applied = policies.applied(PolicyFile(1, {"b*": "float"}, "bf16"), policy)
    assert applied == Policy("int8", symmetric=True, weight_bits=7, layers={"b*": "float"}, floats="bf16")


def test_a_written_policy_names_every_layer_and_says_why() -> None:
    policy = Policy(layers={"a": "float"}, floats="bf16")
    chosen = Precisions(policy, (LayerChoice("a", "float", 0.004, 0.002),), True, None)
    times = "4.0 us in INT8, 2.0 us in float"
    expected = PolicyFile(1, {"a": "float", "b": "int8"}, "bf16", why={"a": times})
    assert policies.of_file(policy, ("a", "b"), chosen) == expected
    ranges = (1.0, 1.0, 0.1, 0.1)
    became = (LayerRecord("a", 8, 6, 0.5, 0.6, *ranges, "bf16"), LayerRecord("b", 8, 8, 0.5, 0.5, *ranges, "int8"))
    expected = PolicyFile(
        1,
        {"a": "float", "b": "int8"},
        "bf16",
        {"a": 0.25, "b": 0.0},
        {"a": f"{times}; 2 of 8 filters are gone, the mean S of the others is 1.20 times that of all"},
    )
    assert policies.of_file(policy, ("a", "b"), chosen, became) == expected


def test_policies_that_differ_in_what_was_measured_are_of_one_artefact(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("made", "again", "other")]
    given = (
        PolicyFile(1, {"a": "float"}, why={"a": "2.0 us"}),
        PolicyFile(1, {"a": "float"}, why={"a": "3.0 us"}),
        PolicyFile(1, {"a": "int8"}, why={"a": "2.0 us"}),
    )
    for folder, policy in zip(folders, given, strict=True):
        folder.mkdir()
        documents.write(folder / artifacts.POLICY, policy)
        (folder / artifacts.SIDECAR).write_text("{}")
    made, again, other = folders
    assert delivery.is_same(made, again) and not delivery.is_same(made, other)


@pytest.mark.skipif("bf16" not in environment.instructions(), reason="this processor has no BF16")
def test_a_bf16_artefact_has_the_trained_weights_and_says_how_it_is_to_be_computed(
    project: Path, run: Any, tmp_path: Path
) -> None:
    openvino = (*COMPRESS, "--device", "cpu_openvino", "--delta-max", "4", "--method")
    half, plain = tmp_path / "bf16", tmp_path / "fp32"
    for out in (half, plain):
        done = run(*openvino, out.name, "--export", "openvino", "--out", str(out))
        assert done.returncode == 0, done.stderr
    models = [onnx.load(out / "model.onnx") for out in (half, plain)]
    properties = [{entry.key: entry.value for entry in model.metadata_props} for model in models]
    assert properties == [{"inference_precision": "bf16"}, {}]
    assert models[0].graph == models[1].graph
    sidecar = json.loads((half / "hqp.json").read_text())
    assert sidecar["settings"]["recipe"]["precision"] == "bf16" and sidecar["certificate"]["certified"]
    # OpenVINO's own format carries it as well, so that what is read back is the same to the bit.
    assert sidecar["exports"][0]["agreement"] == 1 and sidecar["exports"][0]["cosine"] > 0.9999999
    assert "inference_precision" in (half / "openvino" / "model.xml").read_text()
    done = run("-m", "hqp", "bench", str(half), "--device", "cpu_onnxruntime")
    assert done.returncode == 2 and "is BF16, which device 'cpu_onnxruntime' lacks" in done.stderr
