"""Nothing is called exported that does not agree with the artefact; what does travels with the sidecar."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hqp import catalog, documents
from hqp.cli import compress as cli_compress
from hqp.errors import HqpError, UnknownName
from hqp.records import Artifact, Exported, Sidecar
from hqp.run import delivery, exports
from hqp.run.inputs import artifacts
from hqp.store import Store, sha256_of

COMPRESS = ("-m", "hqp", "compress", "squarenet", "--dataset", "squares", "--device", "cpu_onnxruntime")
EXPORTS = "openvino,onnx,pt2,torchscript,litert"
ONE = np.eye(4, dtype=np.float32)


@pytest.mark.parametrize(
    ("found", "agreement", "cosine"),
    [
        (ONE, 1.0, 1.0),
        (2 * ONE, 1.0, 1.0),
        (ONE[[0, 1, 2, 0]], 0.75, 0.75),
        (-ONE, 0.0, -1.0),
    ],
)
def test_agreement_is_of_classes_and_of_directions(found: Any, agreement: float, cosine: float) -> None:
    assert exports.agreement_of(ONE, found) == (agreement, pytest.approx(cosine))


def test_outputs_of_zeros_and_outputs_that_are_no_numbers() -> None:
    zeros = np.zeros((2, 3), np.float32)
    assert exports.agreement_of(zeros, zeros) == (1.0, 1.0)
    assert exports.agreement_of(zeros, zeros + 1) == exports.agreement_of(zeros + 1, zeros) == (1.0, 0.0)
    assert not exports.agreement_of(ONE, np.full_like(ONE, np.nan))[1] >= exports.LEAST_COSINE


def test_names_are_known_before_anything_is_made_and_onnx_is_there_anyway() -> None:
    assert exports.resolve(("openvino", "onnx", "openvino")) == ("openvino",)
    with pytest.raises(UnknownName, match="unknown export 'openvno'; did you mean openvino"):
        exports.resolve(("openvno",))


@pytest.fixture
def made(tmp_path: Path, make_sidecar: Callable[..., Sidecar]) -> Artifact:
    """An artefact in a folder, as far as exports look at it."""
    folder = tmp_path / "made"
    folder.mkdir()
    (folder / artifacts.MODEL).write_bytes(b"network")
    (folder / artifacts.LAYERS).write_text("[]\n")
    (folder / artifacts.WEIGHTS).write_bytes(b"weights")
    sidecar = make_sidecar(file__sha256=sha256_of(folder / artifacts.MODEL))
    documents.write(folder / artifacts.SIDECAR, sidecar)
    return Artifact(str(folder), sidecar)


def plant(monkeypatch: pytest.MonkeyPatch, gives: Any) -> list[Path]:
    """An export ``copy`` that keeps the file in two parts and gives these logits; lists what it wrote from."""
    written: list[Path] = []

    def write(onnx_file: Path, out: Path) -> None:
        written.append(onnx_file)
        (out / "parts").mkdir()
        (out / "model.one").write_bytes(onnx_file.read_bytes()[:3])
        (out / "parts/rest").write_bytes(onnx_file.read_bytes()[3:])

    plugin = ModuleType("copy")
    plugin.__dict__.update(write=write, read_back=lambda file, images: gives, requires=(), opened="model.one")
    plugin.__file__ = __file__
    real, listed = catalog.require, catalog.names
    monkeypatch.setattr(catalog, "require", lambda kind, name: plugin if name == "copy" else real(kind, name))
    monkeypatch.setattr(catalog, "names", lambda kind: ("copy",) if kind == "exports" else listed(kind))
    return written


def test_an_export_has_a_folder_of_its_name_with_the_sidecar(
    made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = plant(monkeypatch, ONE)
    store = Store(tmp_path / "store")
    folders = [exports.with_exports(store, made, ("copy",), ONE, ONE) for _ in range(2)]
    assert folders[0] == folders[1] and written == [Path(made.path) / artifacts.MODEL]
    delivery.deliver(folders[0], tmp_path / "out", force=False)
    files = {file.relative_to(tmp_path / "out").as_posix() for file in (tmp_path / "out").rglob("*") if file.is_file()}
    own = {"model.onnx", "hqp.json", "layers.json", "weights.safetensors"}
    assert files == own | {"copy/model.one", "copy/parts/rest", "copy/hqp.json"}
    sidecar = artifacts.read(tmp_path / "out").sidecar
    digests = {name: sha256_of(tmp_path / "out/copy" / name) for name in ("model.one", "parts/rest")}
    assert sidecar.exports == (Exported("copy", digests, 4, 1.0, 1.0),)
    assert (tmp_path / "out/copy/hqp.json").read_bytes() == (tmp_path / "out/hqp.json").read_bytes()
    assert delivery.is_same(folders[0], tmp_path / "out")
    delivery.require_usable(tmp_path / "out")
    (tmp_path / "out/copy/parts/rest").write_bytes(b"another")
    assert not delivery.is_same(folders[0], tmp_path / "out")
    assert not delivery.is_same(Path(made.path), tmp_path / "out")


def test_an_export_that_looks_at_images_is_made_again_of_others(
    made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, ONE)
    shown: list[Any] = []

    def write(onnx_file: Path, out: Path, images: Any) -> None:
        shown.append(images)
        (out / "model.one").write_bytes(b"")

    plugin = catalog.require("exports", "copy")
    plugin.__dict__.update(write=write, looks_at_images=True)
    for images in (ONE, 2 * ONE, ONE):
        exports.with_exports(Store(tmp_path / "store"), made, ("copy",), ONE, images)
    assert [images.max() for images in shown] == [1, 2]


def test_what_has_no_runtime_here_is_written_and_not_compared(
    made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant(monkeypatch, np.zeros((0, 0)))
    monkeypatch.setattr(catalog.require("exports", "copy"), "runs_on", "elsewhere", raising=False)
    folder = exports.with_exports(Store(tmp_path / "store"), made, ("copy",), ONE, ONE)
    (told,) = artifacts.read(folder).sidecar.exports
    assert (told.images, told.agreement, told.cosine) == (0, None, None)
    assert sorted(told.files) == ["model.one", "parts/rest"]
    said = f"written as copy, and compared with nothing: its runtime is not on {sys.platform}"
    assert cli_compress._exported(told) == said


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        (
            np.roll(ONE, 1, axis=1),
            "export 'copy' of {made} is another network: on 4 images its top-1 agrees with model.onnx on 0.0%, and the "
            "cosine of their outputs is 0.0000; at least 99% and 0.999",
        ),
        (
            ONE + 0.5,
            "on 4 images its top-1 agrees with model.onnx on 100.0%, and the cosine of their outputs is 0.86",
        ),
        (np.full_like(ONE, np.nan), "and the cosine of their outputs is nan"),
        (ONE[:, :3], "export 'copy' gives outputs of shape (4, 3); those of the artefact, (4, 4)"),
    ],
)
def test_what_disagrees_is_not_called_exported(
    made: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gives: Any, said: str
) -> None:
    plant(monkeypatch, gives)
    store = Store(tmp_path / "store")
    with pytest.raises(HqpError) as refused:
        exports.with_exports(store, made, ("copy",), ONE, ONE)
    assert said.format(made=made.path) in str(refused.value)
    assert not (store.root / "delivered").exists()


def test_a_user_gets_the_exports_he_names_beside_the_artefact(project: Path, run: Any) -> None:
    command = (*COMPRESS, "--method", "q8", "--delta-max", "5", "--export", EXPORTS, "--out", "out/exported")
    done = run(*command)
    assert done.returncode == 0, done.stderr
    assert "exported as openvino: top-1 as" in done.stdout
    out = project / "out/exported"
    names = {file.relative_to(out).as_posix() for file in out.rglob("*") if file.is_file()}
    own = {"model.onnx", "hqp.json", "layers.json", "policy.json", "weights.safetensors"}
    files = {"openvino": ["model.bin", "model.xml"], "pt2": ["model.pt2"], "torchscript": ["model.pt"]}
    files["litert"] = ["model.tflite"]
    assert names == own | {f"{name}/{file}" for name, its in files.items() for file in (*its, "hqp.json")}
    sidecar = json.loads((out / "pt2/hqp.json").read_text())
    assert sidecar["origin"]["exporter"] == "torchscript"
    assert {told["name"]: sorted(told["files"]) for told in sidecar["exports"]} == files
    for told in sidecar["exports"]:
        assert told["images"] == 100 and told["agreement"] >= 0.99 and told["cosine"] >= 0.999
    again = run(*command)
    assert (again.returncode, "holds this artefact already" in again.stderr) == (0, True), again.stderr
    without = run(*(word for word in command if word not in ("--export", EXPORTS)))
    assert (without.returncode, "holds another artefact" in without.stderr) == (2, True)
    (out / "openvino/model.bin").write_bytes(b"another network")
    bench = run("-m", "hqp", "bench", "out/exported", "--device", "cpu_onnxruntime")
    assert (bench.returncode, "exports.openvino.model.bin is" in bench.stderr) == (2, True), bench.stderr
    shutil.rmtree(out)


def test_an_unknown_export_is_refused_before_anything_is_made(project: Path, run: Any) -> None:
    done = run(*COMPRESS, "--method", "q8", "--export", "gguf", "--out", "out/gguf")
    assert done.returncode == 2
    assert done.stderr.startswith("hqp: error: unknown export 'gguf'; there are: ")
    assert not (project / "out/gguf").exists()
