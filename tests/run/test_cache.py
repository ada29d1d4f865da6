"""What the store holds is listed, checked and trimmed, and nothing is taken from under a run or a baseline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hqp import baselines, cli
from hqp.errors import Damaged, HqpError
from hqp.records import Measurement, Results
from hqp.run import cache
from hqp.store import STATES, Store, sha256_of, write_sealed

DAY_NS = 24 * 60 * 60 * 10**9


def entry(root: Path, kind: str, number: int, size: int = 100, days: float = 0) -> Path:
    """An entry that a process made, which has ended, and that was last used so many days ago."""

    def build(folder: Path) -> None:
        (folder / "content").write_bytes(bytes([number]) * size)

    place = Store(root).make(kind, {"number": number}, build)
    return used(place, days)


def used(place: Path, days: float) -> Path:
    os.utime(place, ns=(time.time_ns() - int(days * DAY_NS),) * 2)
    return place


def kept(root: Path, content: bytes, days: float = 0) -> Path:
    file = root.parent / "file"
    file.write_bytes(content)
    return used(Store(root).keep(file, sha256_of(file)), days)


def state(root: Path, days: float = 0) -> Path:
    write_sealed(root / STATES / "net-1.pt", b"state" * 20)
    return used(root / STATES / "net-1.pt", days)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / ".hqp"


def trim(root: Path, **limits: Any) -> cache.Trimmed:
    asked = {"older_than_days": None, "max_bytes": None, "baselines_root": root.parent / "baselines", **limits}
    return cache.trim(root, **asked)


def test_entries_are_listed_by_kind_with_their_bytes_and_ages(root: Path) -> None:
    places = [entry(root, "images", 1, days=3), entry(root, "images", 2, size=50, days=9), entry(root, "judged", 3)]
    kept(root, b"weights", days=2)
    state(root, days=1)
    (root / "results").mkdir()
    (root / "results" / "signs.json").write_text("{}")
    found = {one.kind: one for one in cache.listing(root)}
    assert list(found) == ["files", "images", "judged", "train"]
    images = found["images"]
    manifests = sum((place / "entry.json").stat().st_size for place in places[:2])
    assert (images.entries, images.bytes) == (2, 150 + manifests)
    assert (round(images.least_days, 2), round(images.most_days, 2)) == (3, 9)
    assert (found["files"].entries, found["files"].bytes, found["train"].bytes) == (1, 7, 132)


def test_all_is_checked_and_what_is_damaged_is_named(root: Path) -> None:
    whole = [entry(root, "images", 1), kept(root, b"weights"), state(root)]
    assert cache.check(root) == cache.Checked(3, ())
    for place in (whole[0] / "content", *whole[1:]):
        place.write_bytes(place.read_bytes()[:-1])
    (root / "judged" / whole[0].name).mkdir(parents=True)
    found = {fault.path: fault.fault for fault in cache.check(root).faults}
    assert list(found) == [str(path) for path in (whole[1], whole[0], root / "judged" / whole[0].name, whole[2])]
    assert found[str(whole[0])] == "content is not as it was written"
    assert found[str(whole[1])] == f"{whole[1].name} is not as it was written"
    assert found[str(root / "judged" / whole[0].name)].startswith("there is no file ")
    assert found[str(whole[2])] == "net-1.pt is not as it was written"


def test_what_was_not_used_for_long_goes(root: Path) -> None:
    old = [entry(root, "images", 1, days=31), kept(root, b"weights", days=40), state(root, days=30.5)]
    new = entry(root, "images", 2, days=29)
    done = trim(root, older_than_days=30)
    assert done.entries == 3 and done.left_bytes == sum(one.bytes for one in cache.listing(root)) > 100
    assert [path.exists() for path in (*old, new)] == [False, False, False, True]
    entry(root, "images", 1)
    assert old[0].exists(), "it is made anew"


def test_the_least_lately_used_goes_until_so_much_is_left(root: Path) -> None:
    places = [entry(root, "images", number, days=number) for number in (1, 2, 3, 4)]
    size = cache.listing(root)[0].bytes // 4
    assert trim(root, max_bytes=2 * size + 1) == cache.Trimmed(2, 2 * size, 2 * size)
    assert [place.exists() for place in places] == [True, True, False, False]
    assert trim(root, max_bytes=2 * size + 1).entries == 0


def test_an_entry_that_is_used_becomes_young(root: Path) -> None:
    place = entry(root, "images", 1, days=50)
    Store(root).make("images", {"number": 1}, lambda folder: pytest.fail("made again"))
    assert trim(root, older_than_days=30).entries == 0 and place.exists()


def test_what_a_baseline_names_stays(root: Path, make_measurement: Any, make_results: Callable[..., Results]) -> None:
    named, other = kept(root, b"baseline", days=99), kept(root, b"other", days=99)
    measured: Measurement = make_measurement()
    sidecar = replace(measured.sidecar, file=replace(measured.sidecar.file, sha256=named.name))
    results = make_results(replace(measured, sidecar=sidecar), suite="below/signs")
    (stored,) = baselines.update(root.parent / "baselines", results)
    assert trim(root, older_than_days=1, max_bytes=0).entries == 1
    assert (named.exists(), other.exists()) == (True, False)
    stored.write_text("{")
    with pytest.raises(Damaged):
        trim(root, older_than_days=1, max_bytes=0)
    assert named.exists()


RUN = """
import os, pathlib, sys
from hqp.store import Store
store = Store(pathlib.Path(sys.argv[1]))
def use(number):
    store.make("images", {"number": number}, lambda folder: (folder / "content").write_bytes(b"made"))
def build(folder):
    (folder / "content").write_bytes(b"made")
    print("making", flush=True)
    input()
use(1)
store.make("images", {"number": 2}, build)
print("made", flush=True)
input()
os._exit(9) if "killed" in sys.argv else None
"""


@pytest.mark.parametrize("ends", ["ended", "killed"])
def test_nothing_is_taken_from_under_a_run(root: Path, ends: str) -> None:
    places = [entry(root, "images", number, days=99) for number in (1, 3)]
    pipe = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", RUN, str(root), ends], **pipe) as run:  # type: ignore[call-overload]
        assert run.stdout.readline() == "making\n"
        assert trim(root, max_bytes=0).entries == 1, "only what it does not use"
        assert [place.exists() for place in places] == [True, False]
        assert len([*root.glob("images/*.unfinished")]) == 1
        assert cache.check(root).entries == 1
        run.stdin.write("\n")
        run.stdin.flush()
        assert run.stdout.readline() == "made\n"
        assert trim(root, max_bytes=0).entries == 0
        run.stdin.write("\n")
        run.stdin.flush()
        assert run.wait() == (9 if ends == "killed" else 0)
    assert trim(root, max_bytes=0).entries == 2
    assert not [*root.glob("images/*/")] and not [*root.glob("running/*")]


def test_what_killed_runs_left_behind_goes(root: Path) -> None:
    place = entry(root, "images", 1)
    place.with_suffix(".unfinished").mkdir()
    (place.with_suffix(".unfinished") / "half").write_bytes(b"1234")
    left = cache.listing(root)
    assert [(one.kind, one.entries) for one in left] == [("images", 1), ("unfinished", 1)] and left[1].bytes == 4
    assert cache.check(root).entries == 1
    assert trim(root, older_than_days=30) == cache.Trimmed(1, 4, left[0].bytes)


def test_without_a_limit_nothing_goes(root: Path) -> None:
    entry(root, "images", 1, days=99)
    with pytest.raises(HqpError, match="nothing says what may go; --older-than DAYS, --max-bytes N, or both"):
        trim(root)


def test_the_command_says_what_there_is(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(root.parent)
    assert cli.main(["cache"]) == 0 and capsys.readouterr().out == "the store is empty\n"
    place = entry(root, "images", 1, size=2_000_000, days=31).relative_to(root.parent)
    entry(root, "images", 2, size=500_000, days=40)
    assert cli.main(["cache"]) == 0
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert shown[1:] == [["images", "2", "2.5", "MB", "31", "to", "40", "days", "ago"], ["all", "2", "2.5", "MB"]]
    assert cli.main(["cache", "check"]) == 0
    assert capsys.readouterr().out == "2 entries checked, 0 damaged\n"
    (place / "content").write_bytes(b"cut")
    assert cli.main(["cache", "check"]) == 1
    assert capsys.readouterr().out.startswith(f"{place} is damaged (content is not as it was written); the next run")
    assert cli.main(["cache", "check", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"][0]["path"] == str(place)
    assert cli.main(["cache", "trim", "--older-than", "35"]) == 0
    assert capsys.readouterr().out == "removed entries: 1, 0.5 MB; left: 0.0 MB\n"
    assert cli.main(["cache", "--json"]) == 0
    assert [one["entries"] for one in json.loads(capsys.readouterr().out)] == [1]
    assert cli.main(["cache", "trim"]) == 2
    assert "nothing says what may go" in capsys.readouterr().err
