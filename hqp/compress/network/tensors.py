"""Tensors in a safetensors file, whose writing tells of a full disk as the system does, with the file's name."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

# How safetensors tells the number of what the system refused: "I/O error: No space left on device (os error 28)".
REFUSED = re.compile(r"os error (\d+)")


def save(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str] | None = None) -> None:
    """Writes contiguous tensors that share no memory, with text beside them.

    Raises:
        OSError: the system refuses it.
    """
    try:
        save_file(dict(tensors), path, dict(metadata) if metadata else None)
    except SafetensorError as error:
        refused = REFUSED.search(str(error))
        if refused is None:
            raise
        number = int(refused[1])
        raise OSError(number, os.strerror(number), str(path)) from None
