"""Entries are made once, whole or absent, whatever happens to the process that makes them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from hqp.errors import HqpError
from hqp.records import Cost
from hqp.store import Store, sha256_of

KEY = {"model": "resnet18", "size": 96}


def _fill(folder: Path) -> None:
    (folder / "one").write_text("whole")


def test_an_entry_is_made_once(tmp_path: Path) -> None:
    store, made = Store(tmp_path), []

    def build(folder: Path) -> None:
        made.append(folder)
        _fill(folder)

    first = store.make("things", KEY, build)
    assert store.make("things", dict(reversed(KEY.items())), build) == first
    assert len(made) == 1
    assert (first / "one").read_text() == "whole"


def test_another_key_or_kind_is_another_entry(tmp_path: Path) -> None:
    store = Store(tmp_path)
    places = {
        store.path("things", KEY),
        store.path("others", KEY),
        store.path("things", {**KEY, "size": 97}),
        store.path("things", {**KEY, "size": "96"}),
    }
    assert len(places) == 4


def test_a_failed_build_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def fail(folder: Path) -> None:
        _fill(folder)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.make("things", KEY, fail)
    assert not store.path("things", KEY).exists()
    assert [path.suffix for path in (tmp_path / "things").iterdir()] in ([], [".lock"])
    assert (store.make("things", KEY, _fill) / "one").read_text() == "whole"


def _script(body: str, tmp_path: Path) -> list[str]:
    head = f"""
import os, pathlib
from hqp.store import Store
root = pathlib.Path({str(tmp_path)!r})
def build(folder):
    with (root / "log").open("a") as log:
        log.write("built\\n")
    (folder / "one").write_text("who")
    {body}
    (folder / "two").write_text("whole")
Store(root).make("things", {KEY!r}, build)
"""
    return [sys.executable, "-c", head]


def test_a_killed_build_is_begun_anew(tmp_path: Path) -> None:
    assert subprocess.run(_script("os._exit(9)", tmp_path)).returncode == 9
    assert not Store(tmp_path).path("things", KEY).exists()
    place = Store(tmp_path).make("things", KEY, _fill)
    assert {path.name: path.read_text() for path in place.iterdir()} == {"one": "whole"}


def test_processes_that_want_the_same_entry_share_one_build(tmp_path: Path) -> None:
    runs = [subprocess.Popen(_script("pass", tmp_path)) for _ in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_record_is_computed_once(tmp_path: Path) -> None:
    store, cost = Store(tmp_path), Cost("validation", 5000, 1, 12.5)
    assert store.record("costs", KEY, Cost, lambda: cost) == cost
    assert store.record("costs", KEY, Cost, lambda: pytest.fail("computed again")) == cost


def test_a_kept_file_is_found_by_its_digest_and_checked(tmp_path: Path) -> None:
    store, file = Store(tmp_path / "store"), tmp_path / "model.onnx"
    file.write_bytes(b"weights")
    digest = sha256_of(file)
    assert store.kept(digest) is None
    place = store.keep(file, digest)
    assert store.kept(digest) == place and place.read_bytes() == b"weights"
    place.write_bytes(b"changed")
    with pytest.raises(HqpError, match="is not what was stored"):
        store.kept(digest)
