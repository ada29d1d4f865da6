"""Foreign models and photographs through ``hqp compress``: what is understood, and what is refused in one line."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import nn

from hqp import catalog, cli
from hqp.datasets import _trees
from hqp.models import Architecture, Pretrained
from hqp.records import Reading
from hqp.run import judge
from hqp.run.context import Context
from hqp.run.inputs import subject
from hqp.run.inputs.request import Request, resolve
from hqp.run.plugins import Plugins
from hqp.store import Store
from hqp.suite import Model, Suite

NET = """
import torch
from torch import nn

class Net(nn.Sequential):
    pass

def build(num_classes):
    return Net(nn.Conv2d(3, 12, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(12, num_classes))

class Dict(Net):
    def forward(self, x):
        return {"logits": super().forward(x)}

def named(num_classes):
    return Dict(*build(num_classes))

class Pair(Net):
    def forward(self, x, y):
        return super().forward(x + y)

def pair(num_classes):
    return Pair(*build(num_classes))

class First(nn.Module):
    def __init__(self, num_classes):
        super().__init__()
        self.fc, self.conv, self.auxiliary = nn.Linear(12, num_classes), nn.Conv2d(3, 12, 3), nn.Linear(12, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).relu().mean((2, 3)))

def first(num_classes):
    return First(num_classes)

def large(num_classes):
    return Net(nn.Conv2d(3, 12, 40), nn.ReLU(), nn.Flatten(), nn.Linear(12, num_classes))
"""
COMPRESS = ("compress", "--dataset", "image_folder:photos", "--method", "q8", "--device", "cpu_onnxruntime")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photographs of two classes, a file with models, and random weights for three outputs."""
    monkeypatch.chdir(tmp_path)
    _trees.tree.cache_clear()  # `photos` is another folder in each test
    torch.set_num_threads(1)
    (tmp_path / "net.py").write_text(NET)
    for part, count in (("train", 10), ("val", 8)):
        for label in ("cat", "dog"):
            (tmp_path / "photos" / part / label).mkdir(parents=True)
            for index in range(count):
                noise = np.random.default_rng([index, len(part), ord(label[0])]).integers(
                    0, 255, (20, 24, 3), dtype=np.uint8
                )
                Image.fromarray(noise).save(tmp_path / "photos" / part / label / f"{index}.png")
    torch.manual_seed(0)
    save(catalog.load("models", "net.py:build").build(2), "two.pt")
    save(catalog.load("models", "net.py:build").build(3), "three.pt")
    return tmp_path


def save(model: nn.Module, name: str) -> None:
    torch.save(model.state_dict(), name)


def compress(capsys: Any, model: str, *words: str, out: str = "out") -> tuple[int, str]:
    code = cli.main([*COMPRESS, model, "--out", out, "--input-size", "16", *words])
    return code, capsys.readouterr().err


def sidecar(out: str = "out") -> Any:
    return json.loads((Path(out) / "hqp.json").read_text())


def test_compressing_asks_the_catalogue_once_for_each_name(
    repository: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: Counter[tuple[str, str]] = Counter()
    real = catalog.load

    def load(kind: str, name: str) -> Any:
        asked[kind, name] += 1
        return real(kind, name)

    monkeypatch.setattr(catalog, "load", load)
    code, said = compress(capsys, "net.py:build", "--weights", "two.pt")
    assert code == 0, said
    assert {kind for kind, _ in asked} == {"models", "datasets", "methods", "devices", "runtimes"}
    assert set(asked.values()) == {1}


def test_a_foreign_model_on_photographs_becomes_an_artefact(repository: Path, capsys: Any) -> None:
    code, said = compress(capsys, "net.py:build", "--weights", "two.pt", "--mean", "0.5", "0.5", "0.5")
    assert code == 0, said
    made = sidecar()
    network, images = made["network"], made["images"]
    assert (network["source"], network["input_size"]) == ("net.py:build", 16)
    assert (images["dataset"], images["skipped"]) == ("image_folder:photos", [])
    assert images["reading"]["mean"] == [0.5, 0.5, 0.5] and not images["reading"]["held_out"]
    assert images["split_digests"].keys() == {"calibration", "selection", "test"}


def test_the_number_of_outputs_is_read_from_the_weights(repository: Path, capsys: Any) -> None:
    code, said = compress(capsys, "net.py:build", "--weights", "three.pt")
    assert code == 0, said
    code, said = compress(capsys, "net.py:build", "--weights", "three.pt", "--num-classes", "2", out="other")
    assert code == 2 and "three.pt does not fit the model" in said


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_may_be_declared_first_and_what_training_alone_uses_is_left_out(
    repository: Path, capsys: Any, classes: int
) -> None:
    save(catalog.load("models", "net.py:first").build(classes), "first.pt")
    code, said = compress(capsys, "net.py:first", "--weights", "first.pt")
    assert code == 0, said
    assert "left out, since the forward pass never reaches it: auxiliary" in said
    assert sidecar()["filters"]["total"] == 12


def test_one_state_dict_of_a_checkpoint_is_chosen(repository: Path, capsys: Any) -> None:
    two, three = (torch.load(f"{name}.pt", weights_only=True) for name in ("two", "three"))
    torch.save({"state_dict": two, "state_dict_ema": three}, "both.pt")
    code, said = compress(capsys, "net.py:build", "--weights", "both.pt")
    assert code == 2 and "both.pt holds 2 state dicts: state_dict, state_dict_ema" in said
    for entry, outputs in (("state_dict", 2), ("state_dict_ema", 3)):
        code, _ = compress(capsys, "net.py:build", "--weights", f"both.pt:{entry}", out=entry)
        model = onnx.load(Path(entry, "model.onnx"))
        assert code == 0 and model.graph.output[0].type.tensor_type.shape.dim[1].dim_value == outputs


@pytest.mark.parametrize(
    ("weights", "file", "entry"),
    [
        ("mine.pt", "mine.pt", ""),
        ("nets/mine.pt:state_dict_ema", "nets/mine.pt", "state_dict_ema"),
        ("run:3/mine.pt", "run:3/mine.pt", ""),
        ("run:3/mine.pt:model", "run:3/mine.pt", "model"),
    ],
)
def test_an_entry_follows_the_file_s_name(weights: str, file: str, entry: str) -> None:
    model = Model("net.py:build", weights)
    assert (model.file, model.entry) == (Path(file), entry)


LOCKED = """
import threading, net
def build(n):
    model = net.build(n)
    model.lock = threading.Lock()
    return model
"""


def test_a_network_that_has_no_copy_is_quantised_and_cannot_be_pruned(repository: Path, capsys: Any) -> None:
    Path("locked.py").write_text(LOCKED)
    assert compress(capsys, "locked.py:build", "--weights", "two.pt")[0] == 0
    code, said = compress(capsys, "locked.py:build", "--weights", "two.pt", "--method", "hqp", out="pruned")
    assert code == 2 and "attribute 'lock' of the model cannot be copied" in said


def test_a_network_of_half_precision_says_what_becomes_of_it(repository: Path, capsys: Any) -> None:
    Path("half.py").write_text("import net\ndef build(n):\n    return net.build(n).half()\n")
    code, said = compress(capsys, "half.py:build", "--weights", "two.pt")
    assert code == 0 and said.count("the model's weights are float16: float32 from here on") == 1


def test_a_model_that_is_right_by_chance_is_warned_of(repository: Path, capsys: Any) -> None:
    code, said = compress(capsys, "net.py:build", "--weights", "two.pt")
    assert code == 0 and "as by chance; do its outputs follow the order of the dataset's classes (cat, dog, …)?" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("net.py:named", "--weights", "two.pt"), "the model returns a dict (logits); one tensor of logits"),
        (("net.py:pair", "--weights", "two.pt"), "forward of the model needs 2 inputs (x, y); one batch of images"),
        (("net.py:build",), "there are no weights for net.py:build at fixtures"),
        (
            ("net.py:build", "--weights", "absent.pt"),
            "there are no weights for net.py:build at absent.pt; the path of a weight file that is there\n",
        ),
        (
            ("net.py:build", "--weights", "tow.pt"),
            "there are no weights for net.py:build at tow.pt; did you mean two.pt?\n",
        ),
        (("net.py:build", "--dataset", "image_folder:photoz"), "there is no folder photoz; PATH/train/CLASS/*.jpg and"),
        (("net.py:build", "--weights", "two.pt", "--pretrained"), "is to have weights of a file and pretrained ones"),
        (
            ("net.py:build", "--pretrained"),
            "net.py:build comes without pretrained weights; a file; try: --weights FILE",
        ),
        (("net.py:build", "--weights", "two.pt", "--std", "0", "1", "1"), "their deviation is (0.0, 1.0, 1.0)"),
        (("net.py:build", "--weights", "two.pt", "--mean", "120", "1", "1"), "the mean of the images is (120.0, 1.0"),
        (("net.py:build", "--weights", "two.pt", "--num-classes", "0"), "num_classes of a model is 0; a whole number"),
        (("net.py:build", "--weights", "two.pt", "--keep", "0"), "q8 removes no filters that --keep could keep"),
        (("net.py:build", "--weights", "two.pt", "--skip-unreadable", "-1"), "-1 unreadable images to skip; 0 or more"),
    ],
)
def test_a_mistake_is_refused_in_one_line(repository: Path, capsys: Any, words: tuple[str, ...], said: str) -> None:
    code, line = compress(capsys, *words)
    assert code == 2 and said in line and not Path("out").exists()
    assert line.splitlines()[-1].startswith("hqp: error: ")


def test_an_input_size_that_the_network_cannot_take_is_refused(repository: Path, capsys: Any) -> None:
    save(catalog.load("models", "net.py:large").build(2), "large.pt")
    code, said = compress(capsys, "net.py:large", "--weights", "large.pt")
    assert code == 2 and "the network cannot take an image of 16x16 pixels (" in said


def test_labels_outside_the_head_are_refused(repository: Path, capsys: Any) -> None:
    save(catalog.load("models", "net.py:build").build(1), "one.pt")
    code, said = compress(capsys, "net.py:build", "--weights", "one.pt")
    assert code == 2 and "has 1 outputs, and the labels of the dataset go up to 1; 2 outputs or more" in said


def test_unreadable_images_are_named_or_left_out_and_reported(repository: Path, capsys: Any) -> None:
    for name in ("cat/1.png", "dog/2.png"):
        (repository / "photos" / "val" / name).write_bytes(b"no image")
    words = ("net.py:build", "--weights", "two.pt")
    code, said = compress(capsys, *words)
    assert code == 2 and ".png cannot be read as an image" in said and "--skip-unreadable 1" in said
    code, said = compress(capsys, *words, "--skip-unreadable", "2")
    assert code == 0 and "unreadable images are left out: " in said
    skipped = sidecar()["images"]["skipped"]
    assert set(skipped) <= {"photos/val/cat/1.png", "photos/val/dog/2.png"} and skipped


def test_a_finished_command_repeated_is_done_and_another_one_replaces_only_by_force(
    repository: Path, capsys: Any
) -> None:
    words = ("net.py:build", "--weights", "two.pt")
    assert compress(capsys, *words)[0] == 0
    first = {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in Path("out").iterdir()}
    code, said = compress(capsys, *words)
    assert code == 0 and "out holds this artefact already; --force writes it anew" in said
    assert {file: (file.read_bytes(), file.stat().st_mtime_ns) for file in Path("out").iterdir()} == first

    code, said = compress(capsys, *words, "--seed", "1")
    assert code == 2 and said.endswith(
        "out holds an artefact, and .hqp has none of this request to compare it with;"
        " a new directory, or --force to replace it; try: --out out-2\n"
    )
    assert sidecar()["settings"]["seed"] == 0
    assert compress(capsys, *words, "--seed", "1", "--force")[0] == 0
    assert sidecar()["settings"]["seed"] == 1 and sorted(Path("out").iterdir()) == sorted(first)

    Path("out/model.onnx").write_bytes(b"cut")
    assert compress(capsys, *words, "--seed", "1")[0] == 2
    assert compress(capsys, *words, "--seed", "1", "--force")[0] == 0
    assert Path("out/model.onnx").read_bytes() != b"cut"


def digest_of_file(name: str) -> str:
    return hashlib.sha256(Path(name).read_bytes()).hexdigest()


def request(weights: str, source: str = "net.py:build", **changes: Any) -> Request:
    return Request(Model(source, weights), "image_folder:photos", "q8", "cpu_onnxruntime", 1.5, **changes)


def subject_of(asked: Request) -> subject.Subject:
    return subject.subject(Context(Store(Path(".hqp"))), resolve(asked, Plugins()))


def test_a_model_that_hqp_trained_is_judged_on_what_it_left_out(repository: Path) -> None:
    loaded = catalog.load("datasets", "image_folder:photos").load("train", None, Reading(held_out=True))
    card = {
        "dataset": "image_folder:photos",
        "input_size": 20,
        "sha256": digest_of_file("two.pt"),
        "split_digests": {"train": loaded.digest},
    }
    Path("two.json").write_text(json.dumps(card))
    found = subject_of(request("two.pt"))
    assert (found.size, found.reading.held_out) == (20, True)

    Path("two.json").write_text(json.dumps({**card, "sha256": "0" * 64}))
    assert not subject_of(request("two.pt")).reading.held_out

    Path("two.json").write_text(json.dumps({**card, "split_digests": {"train": "0" * 64}}))
    with pytest.raises(subject.HqpError, match="was trained on other images than 'train' of image_folder:photos holds"):
        subject_of(request("two.pt"))

    Path("two.json").write_text('{"architecture": "resnet"}')
    with pytest.raises(subject.HqpError, match=r"did not write it, mv two\.json two\.json\.aside$"):
        subject_of(request("two.pt"))


def test_what_hqp_trains_on_photographs_it_finds_and_judges_on_others(repository: Path, capsys: Any) -> None:
    recipe = 'training = {"batch": 4}\ntraining_on = {"image_folder:photos": {"phases": ((16, 1),)}}'
    (repository / "net.py").write_text(f"{NET}\n{recipe}\n")
    assert cli.main(["train", "net.py:build", "--dataset", "image_folder:photos"]) == 0
    said = capsys.readouterr().out
    assert Path("fixtures/image_folder-photos/net.py-build.json").is_file()
    assert "next: hqp compress net.py:build --dataset image_folder:photos" in said
    assert cli.main([*COMPRESS, "net.py:build", "--out", "out"]) == 0, capsys.readouterr().err
    made = sidecar()
    assert made["images"]["reading"]["held_out"] and made["network"]["input_size"] == 16
    assert made["accuracy"]["fp32"]["total"] == 2, "a tenth of train/"


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """A library's model with weights to download; how often they were asked for."""
    times: list[int] = []
    real = catalog.load

    def pretrained() -> Pretrained:
        times.append(1)
        model = real("models", "net.py:build").build(2)
        return Pretrained(model.state_dict(), 18, Reading(mean=(0.1,) * 3, std=(0.2,) * 3, crop=0.9))

    def load(kind: str, name: str) -> Any:
        if name != "library:net":
            return real(kind, name)
        return Architecture(real("models", "net.py:build").build, 224, pretrained)

    monkeypatch.setattr(catalog, "load", load)
    return lambda: len(times)


def test_pretrained_weights_bring_their_input_and_are_fetched_once(
    repository: Path, offered: Callable[[], int]
) -> None:
    asked = Request(Model("library:net", pretrained=True), "image_folder:photos", "q8", "cpu_onnxruntime", 1.5)
    for _ in range(2):
        found = subject_of(asked)
    assert offered() == 1
    assert (found.size, found.reading.mean, found.reading.crop) == (18, (0.1,) * 3, 0.9)
    assert subject.trained(found, 2, print).training is False
    mine = replace(asked, input_size=32, reading=Reading(mean=(0.5,) * 3))
    found = subject_of(mine)
    assert (found.size, found.reading.mean, found.reading.std) == (32, (0.5,) * 3, (0.2,) * 3)


def test_layers_that_are_named_keep_their_filters(repository: Path, capsys: Any) -> None:
    words = ("net.py:build", "--weights", "two.pt", "--method", "hqp_paper")
    for out, keep in (("all", ()), ("some", ("--keep", "0"))):
        code, said = compress(capsys, *words, *keep, out=out)
        assert code == 0, said
    every, some = sidecar("all")["filters"], sidecar("some")["filters"]
    assert every["kept"] < some["kept"] == 12
    assert sidecar("some")["settings"]["recipe"]["pruning"]["keep"] == ["0"]
    assert some["inner"] == every["inner"] == 12, "those that are kept count too"
    code, said = compress(capsys, *words, "--keep", "2", out="none")
    assert code == 2 and "unknown layer '2'; there are: 0, 4" in said


def test_a_size_that_the_model_s_file_says_comes_before_the_dataset_s(repository: Path) -> None:
    signs = Request(Model("net.py:build", "two.pt"), "signs", "q8", "cpu_onnxruntime", 1.5)
    assert subject_of(request("two.pt")).size == 224, "nothing says a size"
    assert subject_of(signs).size == 96, "the model's file says nothing"
    (repository / "net.py").write_text(NET + "\ninput_size = 40\n")
    assert subject_of(request("two.pt")).size == 40
    assert subject_of(signs).size == 40
    assert subject_of(replace(signs, input_size=64)).size == 64


def test_the_size_of_the_card_comes_first_and_the_file_s_is_told(repository: Path, capsys: Any) -> None:
    (repository / "net.py").write_text(NET + "\ninput_size = 48\n")
    card = {"dataset": "signs", "input_size": 32, "sha256": digest_of_file("two.pt"), "split_digests": {}}
    Path("two.json").write_text(json.dumps(card))
    assert cli.main([*COMPRESS, "net.py:build", "--weights", "two.pt", "--out", "out"]) == 0
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.endswith(
        "images: 32x32 (the card of two.pt; the model says 48); the shorter side resized to 32, the middle 32x32,"
        " bilinear (by default); mean 0.485,0.456,0.406, deviation 0.229,0.224,0.225 (image_folder:photos)"
    )
    made = sidecar()
    counted = f"({made['accuracy']['fp32']['correct']} of 8 images of 'selection')"
    assert sum(" top-1 of the trained model: " in line and line.endswith(counted) for line in rest) == 1
    reading = made["images"]["reading"]
    assert made["network"]["input_size"] == 32 and not reading["held_out"], "the card is of another dataset"
    assert [reading[name] for name in ("crop", "resize", "interpolation")] == [1.0, "shorter", "bilinear"]


def test_what_images_become_is_the_user_s_to_say_and_stands_in_the_sidecar(repository: Path, capsys: Any) -> None:
    words = ("--crop", "0.8", "--interpolation", "bicubic", "--mean", "0.5,0.5,0.5", "--std", "0.25,0.25,0.25")
    code, said = compress(capsys, "net.py:build", "--weights", "two.pt", *words)
    assert code == 0
    assert said.splitlines()[0].endswith(
        "images: 16x16 (asked for); the shorter side resized to 20, the middle 16x16, bicubic (asked for);"
        " mean 0.5,0.5,0.5, deviation 0.25,0.25,0.25 (asked for)"
    )
    reading = sidecar()["images"]["reading"]
    assert [reading[name] for name in ("crop", "resize", "interpolation")] == [0.8, "shorter", "bicubic"]
    assert cli.main(["bench", "out", "--device", "cpu_onnxruntime", "--results", "results.json"]) == 0
    capsys.readouterr()
    assert cli.main(["report", "results.json", "--format", "markdown"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "images: the shorter side resized to 20, the middle 16x16, bicubic; mean 0.5,0.5,0.5, deviation" in shown


def test_a_trained_model_of_another_top_1_stops_the_run(repository: Path, capsys: Any) -> None:
    words = ("net.py:build", "--weights", "two.pt", "--expect-top1")
    code, said = compress(capsys, *words, "100")
    assert code == 2 and not Path("out").exists()
    assert "of 8 images of 'selection'), and 100% is expected, give or take 1.00 points; images as in its" in said
    code, said = compress(capsys, *words, "50")
    assert code == 0, "8 images are off by up to 53 points by chance"
    code, said = compress(capsys, *words, "100", out="again")
    assert code == 2 and "100% is expected" in said, "an artefact of the store is no excuse"


@pytest.mark.parametrize("percent", ["0.81", "0", "101", "nan"])
def test_an_expectation_that_is_no_percentage_is_refused(repository: Path, capsys: Any, percent: str) -> None:
    code, said = compress(capsys, "net.py:build", "--weights", "two.pt", "--expect-top1", percent)
    assert code == 2 and f"the top-1 that is expected is {percent}; 1 to 100 percent" in said


def test_a_case_of_a_suite_asks_for_what_its_model_says_and_else_for_what_the_suite_says() -> None:
    mine = Model("net.py:build", "two.pt", name="mine", input_size=16, crop=0.9, mean=(0.5,) * 3, expect_top1=81.0)
    suite = Suite(
        models=(mine, Model("net.py:build", "three.pt", name="other")),
        dataset="image_folder:photos",
        devices=("cpu_onnxruntime",),
        methods=("q8",),
        gates=(),
        input_size=32,
        crop=0.8,
        resize="squash",
        interpolation="bicubic",
        std=(0.25,) * 3,
        expect_top1=70.0,
        skip_unreadable=2,
    )
    first, second = (judge.request(suite, case, Plugins()) for case in suite.cases())
    suite_s = Reading(std=(0.25,) * 3, crop=0.8, resize="squash", interpolation="bicubic", skip_unreadable=2)
    assert (second.input_size, second.reading, second.expect_top1) == (32, suite_s, 70.0)
    assert (first.input_size, first.expect_top1) == (16, 81.0)
    assert first.reading == replace(suite_s, crop=0.9, mean=(0.5,) * 3)


def test_images_that_were_trained_on_and_judge_are_told_once(repository: Path, capsys: Any) -> None:
    recipe = 'training = {"batch": 4}\ntraining_on = {"image_folder:photos": {"phases": ((16, 1),)}}'
    (repository / "net.py").write_text(f"{NET}\n{recipe}\n")
    for label in ("cat", "dog"):
        for index in range(8):
            shutil.copy(f"photos/train/{label}/{index}.png", f"photos/val/{label}/{index}.png")
    code, said = compress(capsys, "net.py:build", "--weights", "two.pt")
    assert code == 0
    told = [line for line in said.splitlines() if "byte for byte" in line]
    assert cli.main(["train", "net.py:build", "--dataset", "image_folder:photos", "--out", "trained"]) == 0
    told += [line for line in capsys.readouterr().err.splitlines() if "byte for byte" in line]
    # One of the copies is among the images that training leaves out.
    assert told.pop().startswith("warning: 15 of the 16 images of 'test' that were looked at are in 'train' too")
    for split, line in zip(("selection", "test"), told, strict=True):
        assert f"warning: 8 of the 8 images of '{split}' that were looked at are in 'train' too, byte for" in line


def test_outputs_that_no_class_has_are_told(repository: Path, capsys: Any) -> None:
    code, said = compress(capsys, "net.py:build", "--weights", "three.pt")
    assert code == 0 and "warning: the model has 3 outputs and the dataset 2 classes; the first 2 outputs are" in said


def test_a_broken_link_and_a_name_that_is_no_utf_8_can_be_left_out(repository: Path, capsys: Any) -> None:
    Path("photos/val/cat/broken.png").symlink_to("absent.png")
    Path(os.fsdecode(b"photos/val/dog/caf\xe9.png")).write_bytes(b"no image")
    code, said = compress(capsys, "net.py:build", "--weights", "two.pt", "--skip-unreadable", "2")
    assert code == 0, said
    assert cli.main(["bench", "out", "--device", "cpu_onnxruntime", "--json"]) == 0
    skipped = sidecar()["images"]["skipped"] + json.loads(capsys.readouterr().out)["measurements"][0]["skipped_images"]
    assert set(skipped) == {"photos/val/cat/broken.png", "photos/val/dog/caf\\xe9.png"}


def test_a_folder_whose_name_is_no_utf_8_is_refused_before_the_work(repository: Path) -> None:
    folder = os.fsdecode(b"da\xe9ta")
    Path("photos").rename(folder)
    with pytest.raises(subject.HqpError, match=r"'image_folder:da\\xe9ta' is no UTF-8; a name in UTF-8"):
        resolve(replace(request("two.pt"), dataset=f"image_folder:{folder}"), Plugins())
