"""Images that judge and were trained on are counted, whatever they are called."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hqp import catalog
from hqp.datasets import _leaks, _trees, cifar10
from hqp.records import Leak, Reading, Samples


def fill(folder: Path, part: str, seed: int, count: int = 10) -> None:
    for number, name in enumerate(("cat", "dog")):
        (folder / part / name).mkdir(parents=True)
        for index in range(count):
            noise = np.random.default_rng([seed, number, index]).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(noise).save(folder / part / name / f"{index}.bmp")  # all of one size in bytes


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    fill(tmp_path, "train", 0)
    fill(tmp_path, "val", 1)
    return tmp_path


def load(folder: Path, split: str, **reading: Any) -> Samples:
    _trees.tree.cache_clear()
    samples: Samples = catalog.load("datasets", f"image_folder:{folder}").load(split, None, Reading(**reading))
    return samples


def leak(folder: Path, split: str, **reading: Any) -> Leak:
    found = load(folder, split, **reading).leak
    assert found is not None
    return found()


def test_parts_that_share_no_image_have_no_leak(photos: Path) -> None:
    assert leak(photos, "selection") == leak(photos, "test") == Leak(0, 10)
    assert load(photos, "train").leak is None and load(photos, "calibration").leak is None


def test_the_images_of_train_are_found_under_other_names(photos: Path) -> None:
    shutil.copy(photos / "train/cat/3.bmp", photos / "val/dog/3.bmp")
    shutil.copy(photos / "train/dog/4.bmp", photos / "val/dog/new.bmp")
    assert leak(photos, "test", held_out=True) == Leak(2, 21)


def test_train_copied_to_val_is_a_leak_of_every_image(photos: Path) -> None:
    shutil.rmtree(photos / "val")
    shutil.copytree(photos / "train", photos / "val")
    assert leak(photos, "selection") == leak(photos, "test") == Leak(10, 10)


def test_a_copy_inside_train_leaks_into_what_training_left_out(photos: Path) -> None:
    assert leak(photos, "selection", held_out=True) == Leak(0, 2)
    held = load(photos, "selection", held_out=True)
    for label in ("cat", "dog"):
        for index in range(10):
            shutil.copy(photos / f"train/{label}/{index}.bmp", photos / f"train/{label}/again{index}.bmp")
    assert len(held) == 2 and leak(photos, "selection", held_out=True).shared >= 3


def test_images_that_are_not_there_are_no_leak(photos: Path) -> None:
    for part in ("train", "val"):
        (photos / part / "cat" / "absent.bmp").symlink_to("nowhere")
        (photos / part / "cat" / "empty.bmp").write_bytes(b"")
    assert leak(photos, "test", held_out=True) == Leak(0, 22)


def test_only_the_first_images_are_looked_at(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_leaks, "LOOKED_AT", 3)
    assert leak(photos, "test") == Leak(0, 3)


def test_pixels_of_torchvision_s_cifar10_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (40, 32, 32, 3), dtype=np.uint8)

    def batches(root: Path, part: str) -> _trees.Tree:
        return cifar10._in_memory(root, ("cat",), np.zeros(40, np.int64), pixels)

    monkeypatch.setattr(cifar10, "_part", batches)
    test = cifar10.load("test", tmp_path)
    assert test.leak is not None and test.leak() == Leak(20, 20)
    assert np.array_equal(cifar10.load("train", tmp_path).read([7], 32)[0], pixels[7])
