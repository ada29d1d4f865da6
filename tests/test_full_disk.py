"""Where the disk is full, the message names the file; nothing half-written is left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hqp.run import images

resource = pytest.importorskip("resource", reason="limits of a process are POSIX's")

# A file that grows past the limit is refused as on a full disk, by another number; Python ignores the signal.
PROGRAM = """
import resource, sys
from pathlib import Path
from hqp import documents
from hqp.cli import ending
from hqp.store import Store

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

def document():
    documents.write_bytes(Path("out/file.json"), bytes(30_000))

def entry():
    Store(Path(".hqp")).make("things", {{"a": 1}}, lambda folder: (folder / "thing").write_bytes(bytes(30_000)))

def tensors():
    import torch
    from hqp.compress.network import tensors
    tensors.save({{"a": torch.zeros(10_000)}}, Path("out.safetensors"))

ending._run = lambda words: {call}()
sys.exit(ending.exit_code([]))
"""


@pytest.mark.parametrize(
    ("call", "named", "left"),
    [
        ("document", "out/file.json", ["out"]),
        ("entry", r".hqp/things/", [".hqp"]),
        ("tensors", "out.safetensors", []),
    ],
)
def test_a_full_disk_is_a_mistake_that_names_the_file(call: str, named: str, left: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", PROGRAM.format(call=call)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith(f"hqp: error: {named}") and done.stderr.endswith(": File too large\n")
    assert [path.name for path in tmp_path.iterdir()] == left
    assert not [path for path in tmp_path.rglob("*") if "unfinished" in path.name or path.name.startswith(".file")]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="sparse files are the file system's")
def test_images_that_are_mapped_have_their_room_before_they_are_written(tmp_path: Path) -> None:
    file = tmp_path / "images.npy"
    np.lib.format.open_memmap(file, "w+", np.uint8, (1_000_000,))
    assert file.stat().st_blocks * 512 < 1_000_000
    images._reserve(file)
    assert file.stat().st_blocks * 512 >= 1_000_000
