"""The options that say how images become a network's input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hqp import cli
from hqp.errors import HqpError
from hqp.records import Reading
from hqp.run.inputs.request import Request

Captured = pytest.CaptureFixture[str]
HALF = "0.5,0.5,0.5"


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Request]:
    """What reaches the workflow of ``hqp compress``, which is not run."""
    requests: list[Request] = []

    def note(request: Request, *rest: Any, **options: Any) -> Any:
        requests.append(request)
        raise HqpError("noted")

    monkeypatch.setattr("hqp.run.compress.compress", note)
    return requests


@pytest.mark.parametrize(
    "words",
    [
        ["--mean", HALF, "--std", "0.25,0.2,0.1", "net.py:build"],
        [f"--mean={HALF}", "--std=0.25,0.2,0.1", "net.py:build"],
        ["net.py:build", "--mean", "0.5", "0.5", "0.5", "--std", "0.25", "0.2", "0.1"],
        ["--mean", "0.5,", "0.5,", "0.5", "--std", "0.25, 0.2, 0.1", "net.py:build"],
    ],
)
def test_three_numbers_are_one_word_or_three(words: list[str], asked: list[Request]) -> None:
    cli.main(["compress", "--out", "out", *words])
    assert asked[0].reading == Reading(mean=(0.5, 0.5, 0.5), std=(0.25, 0.2, 0.1))
    assert asked[0].model.source == "net.py:build"


@pytest.mark.parametrize(
    ("words", "reading"),
    [
        ("--crop 0.9 --interpolation bicubic", Reading(crop=0.9, interpolation="bicubic")),
        ("--resize 256", Reading(resize=256)),
        ("--resize squash --crop 1", Reading(resize="squash", crop=1.0)),
        ("", Reading()),
    ],
)
def test_the_options_become_a_reading(words: str, reading: Reading, asked: list[Request]) -> None:
    cli.main(["compress", "net.py:build", "--out", "out", *words.split()])
    assert asked[0].reading == reading and asked[0].expect_top1 is None


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--mean 0.5", "--mean is '0.5'; three numbers: of red, green and blue; try: --mean 0.5,0.5,0.5"),
        ("--mean 0.5,0.5", "--mean is '0.5,0.5'; three numbers"),
        ("--std 0.1 0.2 0.3 0.4", "--std is '0.1,0.2,0.3,0.4'; three numbers"),
        ("--std a,b,c", "--std is 'a,b,c'; three numbers"),
        ("--mean 1,2,3", "the mean of the images is (1.0, 2.0, 3.0); three numbers from 0 to 1"),
        ("--crop 2", "the centre crop keeps 2.0 of the shorter side"),
        ("--resize huge", "the images are resized to 'huge'; pixels of the shorter side, or 'squash'"),
        ("--resize -3", "the images are resized to -3"),
        ("--interpolation cubic", "unknown interpolation 'cubic'; did you mean bicubic?"),
    ],
)
def test_a_mistake_is_one_line(words: str, said: str, asked: list[Request], capsys: Captured) -> None:
    assert cli.main(["compress", "net.py:build", "--out", "out", *words.split()]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"hqp: error: {said}") and err.count("\n") == 1
    assert not asked and not Path("out").exists()
