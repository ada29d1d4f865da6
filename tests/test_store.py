"""Entries are made once, whole or absent, whatever happens to the process that makes them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hqp import store as module
from hqp.errors import HqpError
from hqp.records import Cost
from hqp.store import Store, read_sealed, sha256_of, write_sealed

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
    assert {path.name for path in place.iterdir()} == {"one", "entry.json"}
    assert (place / "one").read_text() == "whole"


def test_processes_that_want_the_same_entry_share_one_build(tmp_path: Path) -> None:
    runs = [subprocess.Popen(_script("pass", tmp_path)) for _ in range(4)]
    assert [run.wait() for run in runs] == [0] * 4
    assert (tmp_path / "log").read_text() == "built\n"


def test_a_record_is_computed_once(tmp_path: Path) -> None:
    store, cost = Store(tmp_path), Cost("validation", 5000, 1, 12.5)
    assert store.record("costs", KEY, Cost, lambda: cost) == cost
    assert store.record("costs", KEY, Cost, lambda: pytest.fail("computed again")) == cost


@dataclass(frozen=True)
class Older:
    seconds: str


def test_a_record_of_another_form_is_computed_anew(tmp_path: Path) -> None:
    store, cost = Store(tmp_path), Cost("validation", 5000, 1, 12.5)
    assert store.record("costs", KEY, Older, lambda: Older("12")) == Older("12")
    assert store.record("costs", KEY, Cost, lambda: cost) == cost


# --- what is damaged ----------------------------------------------------------------------------------------------


def entry(root: Path, number: int = 0) -> Path:
    """An entry of two files, made by a process that has ended."""

    def build(folder: Path) -> None:
        (folder / "below").mkdir()
        (folder / "one").write_bytes(b"whole" * 100)
        (folder / "below" / "two").write_text(str(number))

    return Store(root).make("things", {**KEY, "number": number}, build)


def cut(place: Path) -> None:
    (place / "one").write_bytes((place / "one").read_bytes()[:7])


def flip_a_bit_and_keep_the_time(place: Path) -> None:
    file = place / "one"
    before, content = file.stat(), bytearray(file.read_bytes())
    content[250] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def lose_a_file(place: Path) -> None:
    (place / "below" / "two").unlink()


def take_another_entry_s_files(place: Path) -> None:
    shutil.rmtree(place)
    shutil.copytree(entry(place.parents[1], number=1), place)


def take_another_entry_s_file(place: Path) -> None:
    shutil.copy(entry(place.parents[1], number=1) / "below" / "two", place / "below" / "two")


def lose_the_manifest(place: Path) -> None:
    (place / "entry.json").unlink()


def cut_the_manifest(place: Path) -> None:
    (place / "entry.json").write_text((place / "entry.json").read_text()[:-20])


def edit_the_manifest(place: Path) -> None:
    (place / "entry.json").write_text((place / "entry.json").read_text().replace('"things"', '"others"'))


def become_a_file(place: Path) -> None:
    shutil.rmtree(place)
    place.write_text("a file")


DAMAGES: dict[Callable[[Path], None], str] = {
    cut: "one is not as it was written",
    flip_a_bit_and_keep_the_time: "one is not as it was written",
    lose_a_file: "two cannot be read (No such file or directory)",
    take_another_entry_s_files: "it is the entry things/",
    take_another_entry_s_file: "two is not as it was written",
    lose_the_manifest: "there is no file ",
    cut_the_manifest: "entry.json is damaged or cut off",
    edit_the_manifest: "it is the entry others/",
    become_a_file: "there is no file ",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_what_is_damaged_is_made_anew_and_that_is_said(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    damage(entry(tmp_path))
    told: list[str] = []

    def build(folder: Path) -> None:
        (folder / "anew").write_text("anew")

    store = Store(tmp_path, told.append)
    place = store.make("things", {**KEY, "number": 0}, build)
    assert sorted(path.name for path in place.iterdir()) == ["anew", "entry.json"]
    (line,) = told
    assert line.startswith(f"{place} is damaged (") and line.endswith("); it is made anew")
    assert DAMAGES[damage] in line
    assert store.make("things", {**KEY, "number": 0}, refuse) == place and told == [line]


def refuse(folder: Path) -> None:
    raise AssertionError("made again")


def test_what_is_whole_is_taken_without_a_word(tmp_path: Path) -> None:
    place, told = entry(tmp_path), list[str]()
    assert Store(tmp_path, told.append).make("things", {**KEY, "number": 0}, refuse) == place
    assert told == []


def test_a_file_that_was_written_to_since_it_was_checked_is_checked_again(tmp_path: Path) -> None:
    told: list[str] = []
    place, store = entry(tmp_path), Store(tmp_path, told.append)
    for _ in range(2):
        assert store.make("things", {**KEY, "number": 0}, refuse) == place
        (place / "one").write_bytes((place / "one").read_bytes())  # another time, the same content
    cut(place)
    with pytest.raises(AssertionError, match="made again"):
        store.make("things", {**KEY, "number": 0}, refuse)


def test_a_process_reads_an_entry_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    digest = module.sha256_of
    monkeypatch.setattr(module, "sha256_of", lambda path: (read.append(path.name), digest(path))[1])
    entry(tmp_path)
    written, store = len(read), Store(tmp_path)
    for _ in range(3):
        store.make("things", {**KEY, "number": 0}, refuse)
    assert (written, sorted(read[written:])) == (2, ["one", "two"])


def test_a_build_that_fails_leaves_the_damaged_entry_and_the_next_one_mends_it(tmp_path: Path) -> None:
    place = entry(tmp_path)
    cut(place)
    with pytest.raises(AssertionError):
        Store(tmp_path, lambda line: None).make("things", {**KEY, "number": 0}, refuse)
    assert not place.with_suffix(".unfinished").exists()
    assert entry(tmp_path) == place and (place / "one").read_bytes() == b"whole" * 100


# --- files --------------------------------------------------------------------------------------------------------


def test_a_kept_file_is_found_by_its_digest_and_checked(tmp_path: Path) -> None:
    told: list[str] = []
    store, file = Store(tmp_path / "store", told.append), tmp_path / "model.onnx"
    file.write_bytes(b"weights")
    digest = sha256_of(file)
    assert store.kept(digest) is None
    place = store.keep(file, digest)
    assert store.kept(digest) == place and place.read_bytes() == b"weights" and told == []
    place.write_bytes(b"changed")
    assert store.kept(digest) is None
    assert told == [f"{place} is damaged ({digest} is not as it was written); it is not used"]
    assert store.keep(file, digest) == store.kept(digest) and place.read_bytes() == b"weights"


@pytest.mark.parametrize("wrong", ["/etc/hostname", "../x", "a" * 63, "A" * 64, ""])
def test_nothing_but_a_digest_names_a_kept_file(tmp_path: Path, wrong: str) -> None:
    for ask in (Store(tmp_path).kept, lambda name: Store(tmp_path).keep(Path(__file__), name)):
        with pytest.raises(HqpError, match="is no digest; 64 hexadecimal digits"):
            ask(wrong)
    assert not list(tmp_path.iterdir())


@given(st.binary(max_size=99), st.binary(max_size=99))
@settings(max_examples=25)
def test_a_sealed_file_gives_what_was_written_or_nothing(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, other: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "sealed"
    write_sealed(file, content)
    whole = file.read_bytes()
    assert read_sealed(file) == content
    for damaged in (other, whole[:-1], whole + other, other + whole):
        file.write_bytes(damaged)
        assert read_sealed(file) == (content if damaged == whole else None)
