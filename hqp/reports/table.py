"""Aligned tables in plain text, as wide as the terminal."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence

from tabulate import tabulate

from hqp.records import Results
from hqp.reports import _layout, _sections

suffix = ".txt"

# Where there is no terminal, and the least and the most that is made use of where there is one.
WIDTH, NARROWEST, WIDEST = 100, 60, 150
# What a terminal would obey, in a name that came with a file.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# A command that a sentence ends with, and what stands for its spaces while lines are broken.
COMMAND, UNBROKEN = re.compile(r"(?:(?<=one: )|(?<=try: ))\w+ [^;]*$"), "\0"
# Cells of words are wrapped to the first of these with which the whole table fits.
CELLS = (45, 30, 20)


def render(results: Results, width: int | None = None) -> str:
    """The report in plain text: two tables a model, what failed and why, the cost, and where it comes from.

    No line is wider than ``width`` columns, by default those of the terminal.
    """
    wide = width or shutil.get_terminal_size((WIDTH, 24)).columns
    wide = min(max(wide, NARROWEST), WIDEST)
    head = _wrapped(f"HQP, suite {results.suite}: {results.question}", wide)
    text = "\n\n".join([head, *(_section(section, wide) for section in _sections.sections(results))])
    return CONTROL.sub(lambda sign: f"\\x{ord(sign[0]):02x}", text) + "\n"


def _section(section: _layout.Section, width: int) -> str:
    parts = [_wrapped(section.title, width, 2)]
    lines = list(section.lines)
    if section.headers:
        headers, dropped = _kept(section, width)
        parts += _tables(section, headers, width)
        lines += [f"not shown at this width: {', '.join(dropped)}"] if dropped else []
    elif section.rows:
        keys = max(len(key) for key, _ in section.rows)
        parts += [_wrapped(f"  {key:{keys}}  {text}", width, 4 + keys) for key, text in section.rows]
    return "\n".join([*parts, *(_wrapped(f"  {line}", width, 4) for line in lines)])


def _kept(section: _layout.Section, width: int) -> tuple[list[str], list[str]]:
    """The headers that stay, and those that are left out, highest rank first, so that the table fits."""
    kept, dropped = list(section.headers), []
    by_rank = sorted(section.ranks, key=lambda header: section.ranks[header])
    while by_rank and _width(section, kept, CELLS[-1]) > width:
        dropped.append(by_rank.pop())
        kept.remove(dropped[-1])
    return kept, dropped


def _tables(section: _layout.Section, headers: Sequence[str], width: int) -> Iterator[str]:
    """The table; where it is still too wide, its columns go on in another one below."""
    cell = next((cell for cell in CELLS if _width(section, headers, cell) <= width), CELLS[-1])
    words = [header for header in headers if _is_text(section, header)]
    numbers = [header for header in headers if not _is_text(section, header)]
    while numbers:
        fitting = len(numbers)
        while fitting > 1 and _width(section, words + numbers[:fitting], cell) > width:
            fitting -= 1
        yield _laid_out(section, words + numbers[:fitting], cell)
        numbers = numbers[fitting:]


def _width(section: _layout.Section, headers: Sequence[str], cell: int) -> int:
    return max(len(line) for line in _laid_out(section, headers, cell).splitlines())


def _is_text(section: _layout.Section, header: str) -> bool:
    return header in section.headers[: section.texts]


def _column(section: _layout.Section, header: str) -> list[str]:
    index = section.headers.index(header)
    return [row[index] for row in section.rows]


def _laid_out(section: _layout.Section, headers: Sequence[str], cell: int) -> str:
    columns = [[_shortened(text, cell) for text in _column(section, header)] for header in headers]
    align = ["left" if _is_text(section, header) else "right" for header in headers]
    return tabulate(
        list(zip(*columns, strict=True)),
        [_stacked(header) for header in headers],
        tablefmt="simple",
        colalign=align if section.rows else None,
        disable_numparse=True,
    )


def _stacked(header: str) -> str:
    """A header with a line for each of its words, since most of the numbers below it are short."""
    return header.replace("_", " ").replace(" ", "\n")


def _shortened(text: str, cell: int) -> str:
    return textwrap.fill(text, cell, break_long_words=False, break_on_hyphens=False)


def _wrapped(text: str, width: int, indent: int = 0) -> str:
    """The text in lines of the width; a command to type stays in one, even where that is wider."""
    whole = COMMAND.sub(lambda command: command[0].replace(" ", UNBROKEN), text)
    filled = textwrap.fill(
        whole, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip
    return filled.replace(UNBROKEN, " ")
