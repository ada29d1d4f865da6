"""Photographs in class folders: read as torchvision reads them, cut so that none judges what was trained on it."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hqp import catalog
from hqp.datasets import _folders, _trees, cifar10, imagenet
from hqp.errors import Damaged, HqpError, Unreadable
from hqp.records import SPLITS, WHOLE, Reading, Samples

CLASSES = ("cat", "dog", "emu")


def picture(seed: int, width: int = 12, height: int = 10) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def fill(folder: Path, parts: dict[str, int], classes: tuple[str, ...] = CLASSES) -> Path:
    """``count`` images in each class of each part."""
    for part, count in parts.items():
        for number, name in enumerate(classes):
            (folder / part / name).mkdir(parents=True)
            for index in range(count):
                picture(1000 * number + index).save(folder / part / name / f"{index:03}.png")
    return folder


def load(folder: Path, split: str, **reading: Any) -> Samples:
    samples: Samples = catalog.load("datasets", f"image_folder:{folder}").load(split, None, Reading(**reading))
    return samples


def images_of(samples: Samples) -> set[bytes]:
    return {image.tobytes() for image in samples.read(range(len(samples)), 8)}


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return fill(tmp_path / "photos", {"train": 40, "val": 10})


@pytest.mark.parametrize("held_out", [False, True])
def test_no_image_that_judges_was_trained_on_and_the_splits_are_whole(photos: Path, held_out: bool) -> None:
    splits = {split: load(photos, split, held_out=held_out) for split in SPLITS}
    sizes = {split: len(samples) for split, samples in splits.items()}
    held = {"train": 108, "calibration": 12, "selection": 12, "test": 30}
    assert sizes == (held if held_out else {"train": 120, "calibration": 12, "selection": 15, "test": 15})
    assert len({samples.digest for samples in splits.values()}) == 4
    origins = {split: samples.origin for split, samples in splits.items() if samples.origin}
    assert origins == {"calibration": "a tenth of the 120 images of train"}
    # The images of `val` are those of `train` with the same number: only within one part do two splits never meet.
    train, calibration, selection, test = (images_of(splits[split]) for split in SPLITS)
    assert calibration < train
    judging, other = (selection, train) if held_out else (selection, test)
    assert not judging & other
    assert len(judging | other) == sizes["selection"] + sizes["train" if held_out else "test"]
    assert all(samples.classes == CLASSES for samples in splits.values())


PAGE = Path(__file__).parents[2] / "docs" / "own-model.md"
ROW = re.compile(r"^\| `(?P<split>\w+)` \|.*\| (?P<small>[\d,or ]+) \| (?P<large>[\d,or ]+) \|$", re.MULTILINE)


def named(part: str, count: int) -> _trees.Tree:
    """Images that are names alone."""
    names = tuple(f"{CLASSES[index % 3]}/{index}.png" for index in range(count))
    labels = np.arange(count, dtype=np.int64) % 3
    return _trees.Tree(part, CLASSES, names, (0,) * count, labels, lambda index: b"", lambda content: picture(0))


@pytest.mark.parametrize(("column", "train", "val"), [("small", 1_200, 300), ("large", 100_000, 10_000)])
def test_the_splits_are_as_large_as_the_page_says(column: str, train: int, val: int) -> None:
    trees = named("train", train), named("val", val)
    parts = _folders.Parts(lambda: trees[0], lambda: trees[1])
    rows = {row["split"]: row[column] for row in ROW.finditer(PAGE.read_text(encoding="utf-8"))}
    assert set(rows) == set(SPLITS)
    for split in SPLITS:
        sizes = [len(_folders.samples("x", parts, split, Reading(held_out=held), WHOLE)) for held in (False, True)]
        assert " or ".join(f"{size:,}" for size in dict.fromkeys(sizes)) == rows[split]


@pytest.mark.parametrize("held_out", [False, True])
@pytest.mark.parametrize("split", ["calibration", "selection", "test"])
def test_the_first_images_of_a_split_are_of_all_classes(tmp_path: Path, split: str, held_out: bool) -> None:
    photos = fill(tmp_path / "photos", {"train": 120, "val": 40})
    labels = load(photos, split, held_out=held_out).labels
    assert len(labels) > 24 and set(labels[:12]) == set(range(len(CLASSES)))


def test_a_split_is_the_same_whatever_the_order_of_the_files(photos: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    for file in sorted(photos.rglob("*.png"), reverse=True):
        place = other / file.relative_to(photos)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(file.read_bytes())
    for split in SPLITS:
        assert load(photos, split).digest == load(other, split).digest
    (other / "val/cat/000.png").write_bytes((other / "val/cat/000.png").read_bytes() + b"\0")
    changed = [split for split in SPLITS if load(photos, split).digest != load(fresh(other), split).digest]
    assert changed in (["selection"], ["test"])


@pytest.mark.parametrize(("part", "changed"), [("val", {"selection", "test"}), ("train", {"calibration"})])
def test_images_replaced_by_others_of_their_sizes_give_another_digest(
    photos: Path, part: str, changed: set[str]
) -> None:
    before = {split: load(photos, split).digest for split in SPLITS}
    for file in (photos / part).rglob("*.png"):
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(content)
    assert {split for split in SPLITS if load(fresh(photos), split).digest != before[split]} == changed


def fresh(folder: Path) -> Path:
    _trees.tree.cache_clear()
    return folder


def test_a_tar_is_read_as_the_folders_in_it(photos: Path, tmp_path: Path) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    for part, inside in (("train", "train"), ("val", ".")):
        with tarfile.open(packed / f"{part}.tar", "w") as archive:
            archive.add(photos / part, inside)
    for split in SPLITS:
        folder, tar = load(photos, split), load(packed, split)
        assert folder.digest == tar.digest
        assert np.array_equal(folder.read(range(3), 8), tar.read(range(3), 8))


@pytest.mark.parametrize("damage", ["cut", "compressed"])
def test_a_tar_that_cannot_be_read_is_refused(photos: Path, tmp_path: Path, damage: str) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    with tarfile.open(packed / "train.tar", "w:gz" if damage == "compressed" else "w") as archive:
        archive.add(photos / "train", "train")
    whole = (packed / "train.tar").read_bytes()
    (packed / "train.tar").write_bytes(whole if damage == "compressed" else whole[: len(whole) // 3 + 700])
    (packed / "val").symlink_to(photos / "val")
    with pytest.raises(Damaged, match=r"train\.tar is no whole, uncompressed tar"):
        load(packed, "train")


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n" + b"\0" * 40])
def test_an_unreadable_image_is_named(photos: Path, content: bytes) -> None:
    for file in (photos / "train").rglob("*.png"):
        file.write_bytes(content)
    with pytest.raises(Unreadable, match=r"train/\w+/\d+\.png cannot be read as an image \(.+\)"):
        load(photos, "calibration").read([0], 8)


def test_a_truncated_image_is_named(photos: Path) -> None:
    for file in (photos / "train").rglob("*.png"):
        file.write_bytes(file.read_bytes()[:150])
    with pytest.raises(Unreadable, match=r"\d+\.png cannot be read as an image"):
        load(photos, "calibration").read([0], 8)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: (root / "train" / "fox").mkdir(), r"class 'fox' has no images in .*train"),
        (lambda root: (root / "val").rename(root / "away"), r"there is no val or test in"),
        (lambda root: (root / "train").rename(root / "away"), r"there is no train in"),
        (
            lambda root: (root / "val" / "cat").rename(root / "val" / "cow"),
            r"class 'cat' is in .*train and not in .*val",
        ),
    ],
)
def test_folders_that_do_not_hold_what_they_should_are_refused(
    photos: Path, change: Callable[[Path], None], said: str
) -> None:
    change(photos)
    with pytest.raises(HqpError, match=said):
        for split in SPLITS:
            load(photos, split)


def test_a_missing_folder_and_a_missing_path_are_refused(tmp_path: Path) -> None:
    with pytest.raises(HqpError, match=r"there is no folder .*absent"):
        load(tmp_path / "absent", "train")
    with pytest.raises(HqpError, match=r"'image_folder' is no dataset; image_folder:PATH"):
        catalog.load("datasets", "image_folder")
    with pytest.raises(HqpError, match=r"'signs:large' is no dataset; signs"):
        catalog.load("datasets", "signs:large")


def test_val_and_test_side_by_side_are_selection_and_test(tmp_path: Path) -> None:
    folder = fill(tmp_path / "both", {"train": 20, "val": 4, "test": 6})
    assert (len(load(folder, "selection")), len(load(folder, "test"))) == (12, 18)


def test_the_folder_is_also_looked_for_in_the_data_root(photos: Path) -> None:
    bound = catalog.load("datasets", "image_folder:photos")
    assert len(bound.load("test", photos.parent)) == 15
    assert bound.native_size is None


def test_imagenet_keeps_its_share_for_selection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "imagenet", {"train": 20, "val": 10})
    monkeypatch.setattr(imagenet, "SELECTION_IMAGES", 7)
    assert [len(imagenet.load(split, tmp_path)) for split in ("selection", "test")] == [7, 23]


def test_another_crop_gives_other_images(photos: Path) -> None:
    whole = load(photos, "test")
    assert whole.digest == load(photos, "test", crop=1.0, mean=(0.1, 0.2, 0.3)).digest
    others = ({"crop": 0.875}, {"resize": "squash"}, {"resize": 64}, {"interpolation": "bicubic"})
    digests = {load(photos, "test", **reading).digest for reading in others}
    assert len(digests | {whole.digest}) == 5


@pytest.mark.parametrize(("dataset", "resized"), [("image_folder:PATH", 224), ("imagenet", 256), ("cifar10", 224)])
def test_only_imagenet_zooms_by_itself(tmp_path: Path, dataset: str, resized: int) -> None:
    fill(tmp_path / "imagenet", {"train": 20, "val": 4})
    fill(tmp_path / "cifar10", {"train": 20, "test": 4})
    plugin = catalog.load("datasets", dataset.replace("PATH", str(tmp_path / "imagenet")))
    assert plugin.own.over(WHOLE).resized(224) == resized
    loaded = plugin.load("calibration", tmp_path)
    explicit = plugin.load("calibration", tmp_path, Reading(crop=224 / resized))
    assert np.array_equal(loaded.read([0], 12), explicit.read([0], 12))


def test_the_user_s_mean_comes_before_the_dataset_s(photos: Path) -> None:
    assert load(photos, "test").mean == _folders.IMAGENET_MEAN
    assert load(photos, "test", mean=(0.1, 0.2, 0.3)).mean == (0.1, 0.2, 0.3)


def test_cifar10_is_found_in_folders_or_tars(tmp_path: Path) -> None:
    folders = fill(tmp_path / "a" / "cifar10", {"train": 20, "test": 10}).parent
    (tmp_path / "b").mkdir()
    for part in ("train", "test"):
        with tarfile.open(tmp_path / "b" / f"cifar10-jpeg-{part}.tar", "w") as archive:
            archive.add(folders / "cifar10" / part, part)
    for split in SPLITS:
        one, other = (cifar10.load(split, root, Reading(held_out=True)) for root in (folders, tmp_path / "b"))
        assert (one.digest, one.mean) == (other.digest, cifar10.own.mean)
    assert len(cifar10.load("test", folders, Reading(held_out=True))) == 30


def test_cifar10_in_torchvision_s_layout_is_judged_by_its_md5(tmp_path: Path) -> None:
    (tmp_path / cifar10.BATCHES).mkdir()
    (tmp_path / cifar10.BATCHES / "data_batch_1").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    with pytest.raises(HqpError, match=r"CIFAR-10 is not in .*; cifar-10-batches-py/, .*export HQP_DATA=DIR"):
        cifar10.load("train", tmp_path)


def test_the_cifar10_of_the_data_root_has_its_images(data_root: Path) -> None:
    held = {split: cifar10.load(split, data_root, Reading(held_out=True)) for split in SPLITS}
    assert [len(held[split]) for split in ("train", "calibration", "selection")] == [45_000, 5_000, 5_000]
    (tar,) = (file.name for file in data_root.glob("cifar10*train.tar"))
    assert held["calibration"].origin == f"5,000 of the 50,000 images of {tar}"
    assert held["test"].classes[:3] == ("airplane", "automobile", "bird")
    first = held["test"].read([0, 1], 32)
    assert first.shape == (2, 32, 32, 3) and first.std() > 20
    assert all(len(set(held[split].labels[:100])) == 10 for split in ("calibration", "selection", "test"))
