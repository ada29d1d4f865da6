"""Class folders in a directory or in a tar: which files count as images, through links, hidden folders, odd names."""

from __future__ import annotations

import os
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hqp import catalog
from hqp.datasets import _trees
from hqp.errors import HqpError, Unreadable
from hqp.records import Reading, Samples


def save(path: Path, grey: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((8, 8, 3), grey, np.uint8)).save(path)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    """Two classes of two images."""
    for name in ("a", "b"):
        for index in range(2):
            save(tmp_path / "val" / name / f"{index}.png", 40 * index)
    return tmp_path / "val"


def packed(part: Path) -> Path:
    """The same in a tar."""
    place = part.with_suffix(".tar")
    with tarfile.open(place, "w") as archive:
        archive.add(part, part.name)
    return place


def fresh(place: Path) -> _trees.Tree:
    _trees.tree.cache_clear()
    return _trees.tree(place)


def both(part: Path) -> list[_trees.Tree]:
    return [fresh(part), fresh(packed(part))]


@pytest.mark.parametrize("hidden", [".ipynb_checkpoints", "a/.ipynb_checkpoints", "a/deeper/.cache/more"])
def test_what_lies_below_a_hidden_folder_is_left_out(part: Path, hidden: str) -> None:
    save(part / hidden / "0-checkpoint.png")
    save(part / "a" / "._1.png")
    for tree in both(part):
        assert (tree.classes, tree.names) == (("a", "b"), ("a/0.png", "a/1.png", "b/0.png", "b/1.png"))


def test_a_second_name_of_a_file_is_an_image_in_a_tar_too(part: Path) -> None:
    for name in ("a", "b"):
        os.link(part / name / "1.png", part / name / "copy.png")
    os.symlink("1.png", part / "a" / "link.png")
    folder, tar = both(part)
    assert folder.names == tar.names and len(tar.names) == 7
    assert folder.marks == tar.marks and folder.labels.tolist() == tar.labels.tolist()
    for index in range(7):
        assert np.array_equal(folder.open(index), tar.open(index))


def test_a_linked_folder_inside_a_class_is_read_as_torchvision_reads_it(part: Path, tmp_path: Path) -> None:
    from torchvision.datasets import ImageFolder

    for index in range(3):
        save(tmp_path / "more" / f"{index}.png")
    os.symlink(tmp_path / "more", part / "a" / "more")
    tree = fresh(part)
    theirs = [(Path(path).relative_to(part).as_posix(), label) for path, label in ImageFolder(str(part)).samples]
    assert sorted(zip(tree.names, tree.labels.tolist(), strict=True)) == sorted(theirs)
    assert len(tree.names) == 7


@pytest.mark.parametrize("target", ["{}/more", "../b", "nowhere"])
def test_a_link_in_a_tar_that_may_be_a_folder_is_refused(part: Path, target: str) -> None:
    os.symlink(target.format(part), part / "a" / "more")
    with pytest.raises(HqpError, match=r"val/a/more in .*val\.tar is a link that leads to no file of .*try: tar xf "):
        fresh(packed(part))


@pytest.mark.parametrize("target", [".", "..", "../../val", "deeper"])
def test_a_link_to_a_folder_above_it_ends(part: Path, target: str) -> None:
    (part / "a" / "deeper").mkdir()
    os.symlink(target, part / "a" / "deeper" / "loop")
    os.symlink(target, part / "a" / "again")
    assert {"a/0.png", "a/1.png", "b/0.png", "b/1.png"} <= set(fresh(part).names)
    assert len(fresh(part).names) <= 8


def test_links_in_a_tar_that_lead_nowhere_end(part: Path) -> None:
    os.symlink("other.png", part / "a" / "loop.png")
    os.symlink("loop.png", part / "a" / "other.png")
    os.symlink("/etc/hostname", part / "b" / "outside.png")
    tree = fresh(packed(part))
    assert len(tree.names) == 7
    for name in ("a/loop.png", "a/other.png", "b/outside.png"):
        with pytest.raises(OSError, match="a link that leads to no file of the tar"):
            tree.content(tree.names.index(name))


def photos(part: Path) -> Samples:
    if not part.with_name("train").exists():
        part.with_name("train").symlink_to(part)
    _trees.tree.cache_clear()
    samples: Samples = catalog.load("datasets", f"image_folder:{part.parent}").load(
        "test", None, Reading(held_out=True)
    )
    return samples


def test_a_broken_link_is_an_image_that_cannot_be_read(part: Path) -> None:
    os.symlink("absent.png", part / "a" / "broken.png")
    os.mkfifo(part / "b" / "pipe.png")
    samples = photos(part)
    assert len(samples) == 6
    said = []
    for index in range(6):
        try:
            samples.read([index], 8)
        except Unreadable as error:
            said.append(str(error).partition(";")[0].rpartition("/val/")[2])
    assert sorted(said) == [
        "a/broken.png cannot be read as an image (no such file or directory)",
        "b/pipe.png cannot be read as an image (it is no file)",
    ]


def test_a_name_that_is_no_utf_8_is_read_and_can_be_printed(part: Path) -> None:
    odd = os.fsencode(part / "a") + b"/caf\xe9.png"
    shutil.copy(part / "a" / "1.png", odd)
    folder, tar = both(part)
    assert folder.names == tar.names and len(folder.names) == 5
    index = folder.names.index(os.fsdecode(b"a/caf\xe9.png"))
    assert folder.shown(index) == f"{part}/a/caf\\xe9.png"
    Path(os.fsdecode(odd)).write_bytes(b"no image")
    with pytest.raises(Unreadable, match=r"caf\\xe9\.png cannot be read as an image"):
        photos(part).read(range(5), 8)


def test_a_class_whose_name_is_no_utf_8_can_be_printed(part: Path) -> None:
    os.rename(part / "b", os.fsencode(part) + b"/\xff")
    for tree in both(part):
        assert tree.classes == ("a", "\\xff") and tree.labels.tolist() == [0, 0, 1, 1]


def test_a_class_without_images_is_refused_in_a_tar_too(part: Path) -> None:
    (part / "fox").mkdir()
    (part / "fox" / "notes.txt").write_text("none yet")
    for place in (part, packed(part)):
        with pytest.raises(HqpError, match=r"class 'fox' has no images in .*val"):
            fresh(place)
