"""Where checkpoints are: one's own before the embedded ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqp.run.inputs import checkpoints


def test_a_name_becomes_a_file_s_name() -> None:
    place = checkpoints.trained(Path("out"), "nets/mine.py:build", "image_folder:/photos of mine")
    assert place == Path("out/image_folder-photos-of-mine/nets-mine.py-build.safetensors")


def test_ones_own_come_before_what_is_embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    embedded = checkpoints.folder() / "signs" / "resnet18.safetensors"
    assert embedded.is_file() and checkpoints.checkpoint("resnet18", "signs") == embedded
    own = Path("fixtures/signs/resnet18.safetensors")
    own.parent.mkdir(parents=True)
    own.touch()
    assert checkpoints.checkpoint("resnet18", "signs") == own


def test_what_nobody_trained_is_where_training_would_put_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert checkpoints.checkpoint("resnet18", "cifar10") == Path("fixtures/cifar10/resnet18.safetensors")
