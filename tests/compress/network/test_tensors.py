"""What the system refuses is told as the system tells it, with the file's name."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from hqp.compress.network.tensors import save


def test_what_was_saved_is_read(tmp_path: Path) -> None:
    save({"a": torch.arange(3), "b": torch.ones(2, 2)}, tmp_path / "all.safetensors")
    found = load_file(tmp_path / "all.safetensors")
    assert found["a"].tolist() == [0, 1, 2] and found["b"].tolist() == [[1, 1], [1, 1]]


def test_a_folder_that_is_not_there_is_an_error_of_the_system(tmp_path: Path) -> None:
    file = tmp_path / "absent" / "all.safetensors"
    with pytest.raises(OSError) as refused:
        save({"a": torch.arange(3)}, file)
    assert (refused.value.errno, refused.value.filename) == (errno.ENOENT, str(file))


def test_another_mistake_stays_what_it_is(tmp_path: Path) -> None:
    with pytest.raises((SafetensorError, ValueError), match="contiguous"):
        save({"a": torch.ones(2, 3).T}, tmp_path / "all.safetensors")
