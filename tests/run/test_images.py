"""Images are decoded once, in order, whole or not at all."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hqp.errors import HqpError
from hqp.records import Samples
from hqp.run import images
from hqp.run.context import _checked
from hqp.store import Store

COUNT = 2 * images.CHUNK + 7


def numbered(indices: Sequence[int], size: int) -> Any:
    """Images that hold their own index."""
    pixels = np.zeros((len(indices), size, size, 3), np.uint8)
    pixels[:, 0, 0, 0], pixels[:, 0, 0, 1] = np.divmod(np.asarray(indices), 256)
    return pixels


def samples(**changes: Any) -> Samples:
    labels = np.arange(COUNT, dtype=np.int64) % 2
    whole = Samples("numbers", "test", labels, ("even", "odd"), (0.5,) * 3, (0.5,) * 3, "digest", numbered)
    return replace(whole, **changes)


def track(step: str, total: int) -> Any:
    return nullcontext(lambda units: None)


def refuse(indices: Sequence[int], size: int) -> Any:
    raise AssertionError("decoded again")


def test_all_images_are_there_in_order(tmp_path: Path) -> None:
    kept = images.decoded(samples(), 4, Store(tmp_path), track)
    assert kept.dtype == np.uint8
    assert np.array_equal(kept, numbered(range(COUNT), 4))


def test_they_are_decoded_once_per_split_and_size(tmp_path: Path) -> None:
    images.decoded(samples(), 4, Store(tmp_path), track)
    assert len(images.decoded(samples(read=refuse), 4, Store(tmp_path), track)) == COUNT
    for other in (samples(read=refuse, digest="another"), samples(read=refuse)):
        with pytest.raises(AssertionError, match="decoded again"):
            images.decoded(other, 4 if other.digest == "another" else 5, Store(tmp_path), track)


def test_an_interrupted_decoding_leaves_nothing(tmp_path: Path) -> None:
    def stop(indices: Sequence[int], size: int) -> Any:
        if indices[0]:
            raise KeyboardInterrupt
        return numbered(indices, size)

    with pytest.raises(KeyboardInterrupt):
        images.decoded(samples(read=stop), 4, Store(tmp_path), track)
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
