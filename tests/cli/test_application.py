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


def commands() -> Iterator[list[str]]:
    """The words of every command there is."""
    # The first command line makes the commands known.
    cli.main(["--version"])
    whole = typer.main.get_command(application.app)
    for name, command in whole.commands.items():  # type: ignore[attr-defined]
        yield from ([name, inner] for inner in getattr(command, "commands", ()))
        if not hasattr(command, "commands"):
            yield [name]


def test_every_command_s_help_ends_with_an_example_that_starts_with_it(capsys: pytest.CaptureFixture[str]) -> None:
    every = list(commands())
    assert ["compress"] in every and ["baseline", "update"] in every
    for words in every:
        capsys.readouterr()
        assert cli.main([*words, "--help"]) == 0
        last = capsys.readouterr().out.rstrip().splitlines()[-1]
        assert last.strip().startswith(f"Example: hqp {' '.join(words)}"), words


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
