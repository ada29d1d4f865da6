"""A sidecar that contradicts its files is refused, and each number that does is named."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from hqp import cli, documents
from hqp.errors import Damaged
from hqp.run import delivery
from hqp.run.inputs import artifacts, claims

NET = """
from torch import nn

def build(num_classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, num_classes),
    )
"""
COMMON = ("--device", "cpu_openvino")


def photograph(place: Path, seed: int, bright: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 60, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(noise + np.uint8(150 * bright)).save(place)


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of night and day, a network that was not trained, and its FP32, pruned and certified artefacts."""
    root = tmp_path_factory.mktemp("claims")
    (root / "net.py").write_text(NET)
    for part, count in (("train", 40), ("val", 16), ("test", 12)):
        for label in ("day", "night"):
            for index in range(count):
                photograph(root / "photos" / part / label / f"{index}.png", index, label == "day")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        torch.manual_seed(0)
        scope: dict[str, Any] = {}
        exec(NET, scope)
        model: nn.Module = scope["build"](2)
        torch.save(model.state_dict(), "net.pt")
        for method in ("fp32", "hqp", "q8"):
            words = ["compress", "net.py:build", "--weights", "net.pt", "--dataset", "image_folder:photos", *COMMON]
            assert (
                cli.main([*words, "--input-size", "16", "--method", method, "--delta-max", "60", "--out", method]) == 0
            )
    return root


@pytest.fixture
def made(repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the artefacts and the photographs, in the working directory."""
    for name in ("fp32", "hqp", "q8", "photos"):
        shutil.copytree(repository / name, tmp_path / name)
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def edit(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    file = folder / artifacts.SIDECAR
    value = json.loads(file.read_text())
    change(value)
    file.write_text(json.dumps(value))


def test_an_artefact_is_the_same_whatever_it_cost_to_make(made: Path) -> None:
    shutil.copytree(made / "hqp", made / "again")
    edit(made / "again", lambda value: value["spent"]["steps"][0].update(seconds=99.0))
    assert delivery.is_same(made / "hqp", made / "again")
    edit(made / "again", lambda value: value["settings"].update(seed=5))
    assert not delivery.is_same(made / "hqp", made / "again")


def test_what_was_written_is_true(made: Path) -> None:
    fp32 = artifacts.read(made / "fp32").sidecar
    for name in ("fp32", "hqp", "q8"):
        claims.require_true(artifacts.read(made / name), fp32)
    assert artifacts.read(made / "hqp").sidecar.filters.sparsity > 0


@pytest.mark.parametrize(
    ("field", "claimed"),
    [
        ("filters.kept", 1),
        ("filters.total", 17),
        ("filters.inner_kept", 0),
        ("file.size_bytes", 12),
        ("file.parameters", 12),
        ("file.macs", 12),
        ("network.input_size", 32),
        ("network.num_classes", 3),
        ("fp32_file.size_bytes", 12),
        ("fp32_file.parameters", 12),
        ("fp32_file.macs", 12),
    ],
)
def test_a_number_that_the_files_tell_otherwise_is_named(made: Path, field: str, claimed: float) -> None:
    part, name = field.split(".")
    true = json.loads((made / "hqp" / "hqp.json").read_text())[part][name]
    edit(made / "hqp", lambda value: value[part].update({name: claimed}))
    with pytest.raises(Damaged) as refused:
        claims.require_true(artifacts.read(made / "hqp"), artifacts.read(made / "fp32").sidecar)
    assert f"{field} is {claimed}, not " in str(refused.value)
    if field not in ("filters.total", "filters.inner_kept"):
        assert f"{field} is {claimed}, not {true}" in str(refused.value)


def test_what_is_edited_in_agreement_contradicts_the_fp32_file(made: Path) -> None:
    edit(made / "hqp", lambda value: value.update(
        fp32_file={**value["fp32_file"], "size_bytes": 1000 * value["file"]["size_bytes"]}))  # fmt: skip
    with pytest.raises(Damaged, match=r"fp32_file.size_bytes is \d+000, not \d+; as it was written"):
        claims.require_true(artifacts.read(made / "hqp"), artifacts.read(made / "fp32").sidecar)


def test_a_certificate_that_its_own_numbers_deny_is_refused(made: Path) -> None:
    edit(made / "hqp", lambda value: value["certificate"].update(
        certified=not value["certificate"]["certified"], delta_max_pp=1.5))  # fmt: skip
    with pytest.raises(Damaged, match=r"certificate.delta_max_pp is 1.5, not 60.0; certificate.certified is "):
        claims.require_true(artifacts.read(made / "hqp"), None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"upper_pp": 0.5}, r"certificate.upper_pp is 0.5, not \d"),
        ({"drop_pp": -3.1}, r"certificate.drop_pp is -3.1, not -4.166667"),
    ],
)
def test_a_limit_that_so_many_images_cannot_give_is_refused(made: Path, changes: dict[str, float], said: str) -> None:
    edit(made / "q8", lambda value: value["certificate"].update({"certified": True, "drop_pp": 0.0, **changes}))
    with pytest.raises(Damaged, match=said):
        claims.require_true(artifacts.read(made / "q8"), None)


def test_a_mean_that_is_not_what_images_became_is_refused(made: Path) -> None:
    edit(made / "q8", lambda value: value["images"].update(mean=[0.0, 0.0, 0.0]))
    with pytest.raises(Damaged, match=r"images.mean is \(0.0, 0.0, 0.0\), not \(0.485, "):
        claims.require_true(artifacts.read(made / "q8"), None)


def test_layers_that_are_cut_or_gone_are_refused(made: Path) -> None:
    file = made / "hqp" / artifacts.LAYERS
    for damage in (lambda: file.write_text(file.read_text()[:-9]), file.unlink):
        damage()
        with pytest.raises(documents.HqpError, match=r"layers\.json"):
            claims.require_true(artifacts.read(made / "hqp"), None)


def bench(capsys: Any, *words: str) -> tuple[int, str]:
    code = cli.main(["bench", *words, *COMMON])
    return code, capsys.readouterr().err


def test_bench_refuses_what_a_sidecar_claims(made: Path, capsys: Any) -> None:
    edit(made / "hqp", lambda value: value["filters"].update(kept=1))
    code, said = bench(capsys, "fp32", "hqp")
    assert code == 2 and "hqp/hqp.json contradicts the artefact's files: filters.kept is 1, not " in said


def test_one_artefact_given_twice_is_refused(made: Path, capsys: Any) -> None:
    shutil.copytree(made / "hqp", made / "copy")
    for twice in ("hqp", "./hqp", "copy"):
        code, said = bench(capsys, "hqp", "fp32", twice)
        assert code == 2 and f"hqp and {Path(twice)} are one artefact; each artefact once" in said


def test_another_number_of_classes_than_the_dataset_s_is_refused(made: Path, capsys: Any) -> None:
    edit(made / "q8", lambda value: value["network"].update(num_classes=1))
    code, said = bench(capsys, "q8")
    assert code == 2 and "q8 was made for 1 classes, and image_folder:photos has 2" in said


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A process of its own, since one lists a dataset's files once."""
    command = [sys.executable, *words]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )


CERTIFY = """
from pathlib import Path
from hqp.records import Reading
from hqp.run.compress import artifact
from hqp.run.context import Context
from hqp.run.inputs.request import Request, resolve
from hqp.store import Store
from hqp.suite import Model

def certified(count):
    model = Model("net.py:build", "net.pt")
    request = Request(model, "image_folder:photos", "hqp", "cpu_openvino", 60.0, input_size=16, test_images=count)
    context = Context(Store(Path(".hqp")))
    sidecar = artifact(context, resolve(request, context.plugins)).sidecar
    named = context.split_digest("image_folder:photos", "test", sidecar.images.reading, count)
    return sidecar.certificate.images, sidecar.images.split_digests["test"] == named

print(certified(None), certified(10))
"""


def test_the_images_that_certify_are_named_and_others_certify_anew(repository: Path, made: Path) -> None:
    shutil.copytree(repository / ".hqp", made / ".hqp", ignore=shutil.ignore_patterns("running"))
    shutil.copy(repository / "net.pt", made)
    before = artifacts.read(made / "hqp").sidecar.images.split_digests["test"]
    done = run(made, "-c", CERTIFY)
    assert done.stdout == "(24, True) (10, True)\n", done.stderr

    replaced = made / "photos" / "test" / "day" / "3.png"
    size = replaced.stat().st_size
    photograph(replaced, 99, False)
    assert replaced.stat().st_size == size, "which its size does not tell"
    done = run(made, "-m", "hqp", "bench", "hqp", *COMMON)
    assert done.returncode == 2
    assert "hqp was certified by other images than 'test' of image_folder:photos holds here" in done.stderr
    done = run(made, "-c", CERTIFY)
    assert done.stdout == "(24, True) (10, True)\n", done.stderr
    stored = [json.loads(file.read_text()) for file in made.glob(".hqp/artifacts/*/hqp.json")]
    named = {one["images"]["split_digests"]["test"] for one in stored if one["settings"]["method"] == "hqp"}
    assert before in named and len(named) == 4, "of two numbers of images, before and after"
