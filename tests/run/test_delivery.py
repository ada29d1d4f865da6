"""An artefact's place is tried before the work, made whole or not at all, and nothing but an artefact is replaced."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from hqp.errors import HqpError
from hqp.run import delivery
from hqp.run.inputs import artifacts


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def artefact(place: str, content: str = "mine") -> Path:
    folder = Path(place)
    folder.mkdir(parents=True)
    for name in artifacts.FILES:
        (folder / name).write_text(f"{content} {name}")
    return folder


def contents(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


@pytest.mark.parametrize(
    ("out", "said"),
    [
        (".", r"\. cannot be replaced as a whole; a directory in it; try: --out artefact"),
        ("/", r"/ cannot be replaced as a whole; a directory in it; try: --out /artefact"),
        ("file", "file exists and is no artefact; a new directory; try: --out file-2"),
        ("photos", "photos exists and is no artefact; a new directory; try: --out photos-2"),
        ("file/out", r"/file/out cannot be written \(Not a directory\); a place that can; try: --out DIR"),
        ("new/" + "a" * 300, r"cannot be written \(File name too long\)"),
    ],
)
def test_a_place_that_cannot_be_made_is_refused_and_nothing_is_left(folder: Path, out: str, said: str) -> None:
    Path("file").touch()
    artefact("photos")
    Path("photos/mine.jpg").touch()
    before = sorted(folder.rglob("*"))
    with pytest.raises(HqpError, match=said):
        delivery.require_usable(Path(out))
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize("out", ["new", "new/folder/out", "empty", "link"])
def test_an_artefact_is_delivered_whole(folder: Path, out: str) -> None:
    made = artefact(".hqp/artifacts/abc")
    Path("empty").mkdir()
    Path("link").symlink_to("empty")
    before = sorted(folder.rglob("*"))
    delivery.require_usable(Path(out))
    assert sorted(folder.rglob("*")) == before
    delivery.deliver(made, Path(out), force=False)
    assert contents(Path(out)) == contents(made) and delivery.is_same(made, Path(out))
    assert not [path for path in folder.rglob(".*") if path.name != ".hqp"]


def test_of_two_runs_of_one_request_the_slower_one_is_done_too() -> None:
    made, out = artefact(".hqp/artifacts/abc"), artefact("out")
    delivery.deliver(made, out, force=False)
    assert contents(out) == contents(made)


def test_of_two_requests_the_slower_one_says_that_another_was_faster() -> None:
    made, out = artefact(".hqp/artifacts/abc"), artefact("out", "theirs")
    said = "another run wrote out meanwhile; this artefact is kept in .hqp, from where .*; try: --out out-2"
    with pytest.raises(HqpError, match=said):
        delivery.deliver(made, out, force=False)
    assert contents(out)["model.onnx"] == "theirs model.onnx"


def test_the_same_is_the_same_to_the_byte_whatever_its_time_and_size_say() -> None:
    made, out = artefact(".hqp/artifacts/abc", "mine"), artefact("out", "ours")
    for file in (*made.iterdir(), *out.iterdir()):
        os.utime(file, (0, 0))
    assert not delivery.is_same(made, out)


def test_by_force_an_artefact_is_replaced_whole_and_stays_where_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    made, out = artefact(".hqp/artifacts/abc"), artefact("out", "theirs")
    real = os.replace

    def full(source: Any, target: Any) -> None:
        if Path(source).name == "whole":
            raise OSError(28, "No space left on device")
        real(source, target)

    with monkeypatch.context() as broken:
        broken.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left"):
            delivery.deliver(made, out, force=True)
    assert contents(out)["model.onnx"] == "theirs model.onnx"
    delivery.deliver(made, out, force=True)
    assert contents(out) == contents(made)
