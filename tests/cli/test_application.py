"""Help that ends with a command to copy, and names that a shell completes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

from hqp import cli
from hqp.cli import application

# What one sees at once, without scrolling back.
SCREEN_LINES = 40


def commands() -> Iterator[list[str]]:
    """The words of every command there is, groups of commands and ``hqp`` itself among them."""
    # The first command line makes the commands known.
    cli.main(["--version"])
    whole = typer.main.get_command(application.app)
    yield []
    for name, command in whole.commands.items():  # type: ignore[attr-defined]
        yield [name]
        yield from ([name, inner] for inner in getattr(command, "commands", ()))


def test_every_help_fits_one_screen_and_ends_with_an_example_that_starts_with_the_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    every = list(commands())
    assert [] in every and ["compress"] in every and ["cache"] in every and ["baseline", "update"] in every
    for words in every:
        capsys.readouterr()
        assert cli.main([*words, "--help"]) == 0
        lines = capsys.readouterr().out.rstrip().splitlines()
        assert len(lines) <= SCREEN_LINES, words
        assert max(map(len, lines)) <= 80, words
        assert lines[-1].strip().startswith(" ".join(["Example: hqp", *words])), words


@pytest.mark.parametrize(
    ("typed", "offered"),
    (
        ("hqp bench --device cpu_op", ["cpu_openvino"]),
        ("hqp compress resnet18 --method bn", ["bn_gamma"]),
        ("hqp base", ["baseline"]),
    ),
)
def test_a_shell_completes_commands_and_names(typed: str, offered: list[str], tmp_path: Path) -> None:
    asked = {"_HQP_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    command = [sys.executable, "-m", "hqp"]
    package = str(Path(application.__file__).parents[2])
    environment = {**os.environ, **asked, "PYTHONPATH": package}
    done = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", offered)
