"""The application that commands register with, and what they share: options, and how an answer is printed."""

from __future__ import annotations

import json as json_format
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.exceptions import TyperException

from hqp.cli import streams
from hqp.errors import HqpError

Answer = TypeVar("Answer")

# The width of a table where there is no terminal, and what its last column has at least.
WIDTH, LEAST_ROOM = 100, 20
GAP = "  "

# By what a shell that `hqp --install-completion` told of it asks.
COMPLETING = "_HQP_COMPLETE"

app = typer.Typer(
    name="hqp",
    help="pytest for compressed neural networks.",
    epilog="Example: hqp compress resnet18 --out out/resnet18",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)

Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, no more.")]
Skip = Annotated[int, typer.Option(metavar="N", help="Leave out up to N unreadable images.")]
# What numpy, torch and Python all take.
Seed = Annotated[int, typer.Option(metavar="N", min=0, max=2**32 - 1, help="The random seed.")]
Baselines = Annotated[Path, typer.Option(help="Where baselines are kept.")]
ResultsFile = Annotated[Path, typer.Argument(metavar="RESULTS", help="A results file.", show_default=False)]


def run(words: list[str]) -> int:
    """The exit code of a command line, once the commands are registered.

    Raises:
        HqpError: the words are no command line.
    """
    command = typer.main.get_command(app)
    if COMPLETING in os.environ:
        # A shell asks what may follow what was typed; this ends the process.
        command.main(words, prog_name="hqp")
    try:
        with command.make_context("hqp", words) as context:
            return command.invoke(context) or 0
    except typer.Exit as end:
        return end.exit_code
    except TyperException as error:
        raise _usage_error(error) from None


@dataclass(frozen=True)
class Names:
    """What a shell completes a plug-in's name to: the names of a kind; nothing is imported for it."""

    kind: str

    def __call__(self, incomplete: str) -> list[str]:
        from hqp import catalog

        return [name for name in catalog.names(self.kind) if name.startswith(incomplete)]


Dataset = Annotated[
    str,
    typer.Option(metavar="NAME", help="A dataset or image_folder:PATH.", autocompletion=Names("datasets")),
]


def _usage_error(error: TyperException) -> HqpError:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else "hqp"
    return HqpError(error.format_message().rstrip("."), fix=f"{command} --help")


def answer(make: Callable[[], Answer], json: bool, text: Callable[[Answer], str]) -> Answer:
    """Prints what ``make`` returns, at once and whole; what libraries print meanwhile goes to standard error."""
    with redirect_stdout(sys.stderr):
        made = make()
        shown = _to_json(made) if json else text(made)
    streams.write(shown if shown.endswith("\n") else shown + "\n")
    return made


def _to_json(answer: Any) -> str:
    """JSON in ASCII, so that it is the same document whatever encoding standard output has."""
    from hqp import documents

    text = documents.list_to_json(answer) if isinstance(answer, tuple) else documents.to_json(answer)
    return re.sub(r"[^\x00-\x7f]", lambda sign: json_format.dumps(sign[0])[1:-1], text)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of text as plain columns, of which the last is wrapped to the width of the terminal."""
    from tabulate import tabulate

    width = shutil.get_terminal_size((WIDTH, 24)).columns
    taken = sum(max(len(cell) for cell in column) + len(GAP) for column in list(zip(*rows, strict=True))[:-1])
    room = max(width - taken, LEAST_ROOM)
    wrapped = [(*cells, _wrapped(last, room)) for *cells, last in rows]
    return str(tabulate(wrapped, tablefmt="plain", disable_numparse=True))


def _wrapped(text: str, width: int) -> str:
    return textwrap.fill(text, width, break_long_words=False, break_on_hyphens=False)


def rendered(form: str, results: Any) -> str:
    """Results as the report of this name."""
    from hqp import catalog

    return str(catalog.load("reports", form).render(results))


def _print_version(wanted: bool) -> None:
    if wanted:
        from hqp import __version__

        print(f"hqp {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """pytest for compressed neural networks."""
