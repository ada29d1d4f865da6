"""GitHub tables, for ``$GITHUB_STEP_SUMMARY`` and the README."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from tabulate import tabulate

from hqp.records import Results
from hqp.reports import _layout, _provenance, _sections, _verdicts

suffix = ".md"

# What GitHub would read as a table, as HTML, as emphasis or as a link; an underscore inside a word it leaves alone.
SPECIAL = re.compile(r"[\\|<>*`\[\]]")


def render(results: Results) -> str:
    """The report as Markdown: the verdict first, a table a model, and all else folded away."""
    verdicts = _verdicts.section(results)
    parts = [f"## {_text(verdicts.title)}", f"HQP, suite {_text(results.suite)}: {_text(results.question)}"]
    parts += _bullets(verdicts.lines)
    parts.append(f"Compared with {_text(_provenance.compared_with(results))}")
    for section in _sections.summaries(results):
        parts += [f"### {_text(section.title)}", *_table(section), *_folded("notes", _bullets(section.lines))]
    for section in _sections.details(results):
        parts += _folded(section.title, [*_table(section), *_bullets(section.lines)])
    parts += [f"### {_text(_provenance.origin(results).title)}", *_section_of_pairs(_provenance.origin(results))]
    return "\n\n".join(parts) + "\n"


def _folded(title: str, parts: Sequence[str]) -> list[str]:
    """What a reader opens with a click; GitHub reads Markdown in it where an empty line stands around."""
    return [f'<details markdown="1"><summary>{html.escape(title)}</summary>', *parts, "</details>"] if parts else []


def _table(section: _layout.Section) -> list[str]:
    if not section.headers:
        return []
    align = ["left" if section.is_text(column) else "right" for column in range(len(section.headers))]
    return [
        tabulate(
            [[_text(cell) for cell in row] for row in section.rows],
            [_text(header) for header in section.headers],
            tablefmt="pipe",
            colalign=align if section.rows else None,
            disable_numparse=True,
        )
    ]


def _section_of_pairs(section: _layout.Section) -> list[str]:
    return _bullets([f"{key}: {text}" for key, text in section.rows])


def _bullets(lines: Sequence[str]) -> list[str]:
    return ["\n".join(f"* {_text(line)}" for line in lines)] if lines else []


def _text(text: str) -> str:
    return SPECIAL.sub(r"\\\g<0>", " ".join(text.split()))
