"""Aligned tables in plain text, as wide as the terminal."""

from __future__ import annotations

import re
import shutil
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from tabulate import tabulate

from hqp.records import Results
from hqp.reports import _layout, _provenance, _sections, _verdicts

suffix = ".txt"

# Where there is no terminal, and the least and the most that is made use of where there is one.
WIDTH, NARROWEST, WIDEST = 100, 60, 150
# What a terminal would obey, in a name that came with a file.
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
# A command that a sentence ends with, and what stands for its spaces while lines are broken.
COMMAND, UNBROKEN = re.compile(r"(?:(?<=one: )|(?<=try: ))\w+ [^;]*$"), "\0"
# What a row is indented by below that of its device: spaces that no layout takes away.
INDENT = 2 * UNBROKEN
# Cells of words are wrapped to the first of these with which the whole table fits.
CELLS = (45, 30, 20)


def render(results: Results, width: int | None = None) -> str:
    """The report in plain text: a table a model with what failed and why below it, and where it all comes from.

    No line is wider than ``width`` columns, by default those of the terminal.
    """
    wide = width or terminal_width()
    summaries = [_with_verdicts(results, section) for section in _sections.summaries(results)]
    counted = _layout.Section(_verdicts.counted(results), lines=tuple(_verdicts.skipped(results)))
    head = _wrapped(f"HQP, suite {results.suite}: {results.question}", wide)
    told = laid_out((*summaries, counted, _provenance.origin(results)), wide)
    return f"{CONTROL.sub(_escaped, head)}\n\n{told}\n"


def terminal_width() -> int:
    """How many columns lines may have: those of the terminal, within what is readable."""
    return min(max(shutil.get_terminal_size((WIDTH, 24)).columns, NARROWEST), WIDEST)


def laid_out(sections: Iterable[_layout.Section], width: int) -> str:
    """Sections one below the other, in lines of that width; what a terminal would obey is told as it is written."""
    return CONTROL.sub(_escaped, "\n\n".join(_section(section, width) for section in sections))


def _escaped(sign: re.Match[str]) -> str:
    return f"\\x{ord(sign[0]):02x}"


def _with_verdicts(results: Results, section: _layout.Section) -> _layout.Section:
    """A model's section with what did not pass above all that is to be known of its numbers."""
    return replace(section, lines=(*map(str, _verdicts.not_passed(results, section.model)), *section.lines))


def _section(section: _layout.Section, width: int) -> str:
    if section.grouped:
        section = _by_device(section)
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


def _by_device(section: _layout.Section) -> _layout.Section:
    """The section with a row for each device, and below it those of its cases, which name it no more."""
    rows: list[tuple[str, ...]] = []
    blank = ("",) * (len(section.headers) - 2)
    for device in dict.fromkeys(row[1] for row in section.rows):
        rows.append((device, *blank))
        rows += [(INDENT + row[0], *row[2:]) for row in section.rows if row[1] == device]
    headers = (section.headers[0], *section.headers[2:])
    return replace(section, headers=headers, rows=tuple(rows), texts=1, grouped=False)


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
    return section.is_text(section.headers.index(header))


def _column(section: _layout.Section, header: str) -> list[str]:
    index = section.headers.index(header)
    return [row[index] for row in section.rows]


def _laid_out(section: _layout.Section, headers: Sequence[str], cell: int) -> str:
    columns = [_column(section, header) for header in headers]
    # Words can be broken, a number with its interval is read at once.
    words = [_is_text(section, header) for header in headers]
    columns = [
        [_shortened(text, cell) for text in column] if is_words else column
        for column, is_words in zip(columns, words, strict=True)
    ]
    align = ["left" if _is_text(section, header) else "right" for header in headers]
    text = tabulate(
        list(zip(*columns, strict=True)),
        [_stacked(header) for header in headers],
        tablefmt="simple",
        colalign=align if section.rows else None,
        disable_numparse=True,
    )
    return text.replace(UNBROKEN, " ")


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
