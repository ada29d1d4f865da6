"""GitHub tables, for ``$GITHUB_STEP_SUMMARY`` and the README."""

from __future__ import annotations

import re

from tabulate import tabulate

from hqp.records import Results
from hqp.reports import _layout, _sections

suffix = ".md"

# What GitHub would read as a table, as HTML, as emphasis or as a link; an underscore inside a word it leaves alone.
SPECIAL = re.compile(r"[\\|<>*`\[\]]")


def render(results: Results) -> str:
    """The report as Markdown, the same sections as ``table`` has."""
    head = f"## HQP, suite {_text(results.suite)}\n\n{_text(results.question)}"
    return "\n\n".join([head, *(_section(section) for section in _sections.sections(results))]) + "\n"


def _section(section: _layout.Section) -> str:
    parts = [f"### {_text(section.title)}"]
    if section.headers:
        align = ["left" if column < section.texts else "right" for column in range(len(section.headers))]
        parts.append(
            tabulate(
                [[_text(cell) for cell in row] for row in section.rows],
                [_text(header) for header in section.headers],
                tablefmt="pipe",
                colalign=align if section.rows else None,
                disable_numparse=True,
            )
        )
    lines = [f"{key}: {text}" for key, text in section.rows] if not section.headers else []
    bullets = [f"* {_text(line)}" for line in (*lines, *section.lines)]
    return "\n\n".join([*parts, *(["\n".join(bullets)] if bullets else [])])


def _text(text: str) -> str:
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
