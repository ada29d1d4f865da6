"""Images are decoded once, in order, whole or not at all."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hqp.errors import HqpError, Unreadable
from hqp.records import Samples
from hqp.run import images
from hqp.run.context import _checked
from hqp.run.progress import Progress
from hqp.store import Store

COUNT = 2 * images.CHUNK + 7


def numbered(indices: Sequence[int], size: int) -> Any:
    """Images that hold their own index."""
    pixels = np.zeros((len(indices), size, size, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.divmod(np.asarray(indices), 256)
    return pixels


def samples(**changes: Any) -> Samples:
    labels = np.arange(COUNT, dtype=np.int64) % 2
    whole = Samples("numbers", "test", labels, ("even", "odd"), (0.5,) * 3, (0.5,) * 3, "d" * 64, numbered)
    return replace(whole, **changes)


def refuse(indices: Sequence[int], size: int) -> Any:
    raise AssertionError("decoded again")


def prepared(given: Samples, place: Path, size: int = 4, skip: int = 0) -> Samples:
    return images.prepared(given, size, skip, Store(place), Progress(Console(file=io.StringIO())))


def without(*bad: int) -> Any:
    """Reads numbered images, some of which cannot be read."""

    def read(indices: Sequence[int], size: int) -> Any:
        for index in indices:
            if index in bad:
                raise Unreadable(f"{index}.jpg", "cut off")
        return numbered(indices, size)

    return read


@pytest.fixture(params=["kept", "streamed"])
def streamed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the images are too many to be kept."""
    if request.param == "streamed":
        monkeypatch.setattr(images, "LARGEST_SHARE", 0.0)
    return bool(request.param == "streamed")


def test_all_images_are_there_in_order(tmp_path: Path, streamed: bool) -> None:
    ready = prepared(samples(), tmp_path)
    for start in range(0, COUNT, 100):
        batch = range(start, min(start + 100, COUNT))
        assert np.array_equal(ready.read(batch, 4), numbered(batch, 4))
    assert np.array_equal(ready.read([5, 2, 300], 4), numbered([5, 2, 300], 4))
    assert np.array_equal(ready.read(range(3), 7), numbered(range(3), 7))
    assert ready.read(range(3), 4).dtype == np.uint8
    assert (tmp_path / "images").exists() == (not streamed)


def test_a_stream_reads_the_next_batch_ahead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "LARGEST_SHARE", 0.0)
    seen: list[int] = []

    def read(indices: Sequence[int], size: int) -> Any:
        seen.extend(indices)
        return numbered(indices, size)

    stream = prepared(samples(read=read), tmp_path).read
    first = stream(range(0, 8), 4)
    assert np.array_equal(stream(range(8, 16), 4), numbered(range(8, 16), 4))
    assert np.array_equal(first, numbered(range(8), 4))
    assert sorted(set(seen)) == list(range(24)) and len(seen) == 24, "each image was read once, one batch ahead"


def test_they_are_decoded_once_per_split_and_size(tmp_path: Path) -> None:
    prepared(samples(), tmp_path)
    assert len(prepared(samples(read=refuse), tmp_path).read(range(COUNT), 4)) == COUNT
    for other, size in ((samples(read=refuse, digest="a" * 64), 4), (samples(read=refuse), 5)):
        with pytest.raises(AssertionError, match="decoded again"):
            prepared(other, tmp_path, size)


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"300\.jpg cannot be read as an image \(cut off\).*--skip-unreadable"):
        prepared(samples(read=without(300)), tmp_path)
    assert not [path for path in (tmp_path / "images").iterdir() if path.is_dir()]


def test_as_many_as_are_allowed_are_left_out(tmp_path: Path, streamed: bool) -> None:
    ready = prepared(samples(read=without(1, 300)), tmp_path, skip=2)
    kept = [index for index in range(COUNT) if index not in (1, 300)]
    assert np.array_equal(ready.read(range(len(ready)), 4), numbered(kept, 4))
    assert ready.labels.tolist() == [index % 2 for index in kept]
    assert ready.skipped == ("1.jpg", "300.jpg") and ready.digest != samples().digest
    with pytest.raises(Unreadable):
        prepared(samples(read=without(1, 300)), tmp_path, skip=1)
    with pytest.raises(Unreadable, match=r"\d+\.jpg"):
        prepared(samples(read=without(1, 300), digest="f" * 64), tmp_path / "fresh", skip=1)
    assert not list((tmp_path / "fresh").rglob("decoded.json")), "it ends as soon as there are too many"


def test_an_interrupted_decoding_leaves_nothing(tmp_path: Path) -> None:
    def stop(indices: Sequence[int], size: int) -> Any:
        if indices[0]:
            raise KeyboardInterrupt
        return numbered(indices, size)

    with pytest.raises(KeyboardInterrupt):
        prepared(samples(read=stop), tmp_path)
    assert not [path for path in (tmp_path / "images").iterdir() if path.is_dir()]


def test_the_first_images_are_a_split_of_their_own() -> None:
    first = samples().first(10)
    assert len(first) == 10 and first.digest != samples().digest != samples().first(11).digest
    assert samples().first(COUNT).digest == samples().digest


@pytest.mark.parametrize(
    ("labels", "said"), [([], "split 'test' of numbers is empty"), ([1, 1], "split 'test' of numbers holds one class")]
)
def test_a_split_that_can_judge_nothing_is_refused(labels: list[int], said: str) -> None:
    with pytest.raises(HqpError, match=said):
        _checked(samples(labels=np.array(labels, np.int64)))
