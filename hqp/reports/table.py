"""Aligned tables in plain text, for a terminal or a log of 150 columns."""

from __future__ import annotations

import textwrap

from tabulate import tabulate

from hqp.records import Results
from hqp.reports import _sections

suffix = ".txt"

WIDTH = 150
# Of seven columns the widest, so that the table of costs stays within WIDTH.
CELL = 45


def render(results: Results) -> str:
    """The report in plain text: two tables a model, what failed and why, the cost, and where it comes from."""
    head = _wrapped(f"HQP, suite {results.suite}: {results.question}")
    return "\n\n".join([head, *(_section(section) for section in _sections.sections(results))]) + "\n"


def _section(section: _sections.Section) -> str:
    parts = [section.title]
    if section.headers:
        align = ["left" if column < section.texts else "right" for column in range(len(section.headers))]
        parts.append(
            tabulate(
                [[_shortened(cell) for cell in row] for row in section.rows],
                [_stacked(header) for header in section.headers],
                tablefmt="simple",
                colalign=align if section.rows else None,
                disable_numparse=True,
            )
        )
    elif section.rows:
        wide = max(len(key) for key, _ in section.rows)
        parts += [_wrapped(f"  {key:{wide}}  {text}", 4 + wide) for key, text in section.rows]
    return "\n".join([*parts, *(_wrapped(f"  {line}", 4) for line in section.lines)])


def _stacked(header: str) -> str:
    """A gate's name in two lines: its verdicts are one sign wide."""
    return header.replace("_", "\n")


def _shortened(cell: str) -> str:
    return textwrap.fill(cell, CELL)


def _wrapped(text: str, indent: int = 0) -> str:
    return textwrap.fill(
        text, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False,
        drop_whitespace=True, replace_whitespace=False,
    )  # fmt: skip
