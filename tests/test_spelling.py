"""What an encoding lacks is spelt out, never an error."""

from __future__ import annotations

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hqp import plugin, spelling


@pytest.mark.parametrize(
    ("encoding", "expected"),
    [
        ("utf-8", "θ 40% × – Δmax ✓ ✗ …"),
        ("cp1252", "theta 40% × – delta max + x …"),
        ("ascii", "theta 40% x - delta max + x ..."),
    ],
)
def test_signs_become_letters(encoding: str, expected: str) -> None:
    assert spelling.legible("θ 40% × – Δmax ✓ ✗ …", encoding) == expected


def test_what_has_no_spelling_is_escaped() -> None:
    assert spelling.legible("a 鳥 \udcff", "ascii") == r"a \u9ce5 \udcff"


@given(st.text(), st.sampled_from(["ascii", "cp1252", "latin-1", "utf-8", "cp932"]))
def test_any_text_can_be_printed_in_any_encoding(text: str, encoding: str) -> None:
    shown = spelling.legible(text, encoding)
    assert shown == text or encoding != "utf-8"
    shown.encode(encoding)


def test_the_tables_of_pytest_are_spelt_out_too(
    monkeypatch: pytest.MonkeyPatch, make_measurement: Any, make_results: Any
) -> None:
    monkeypatch.setattr(sys, "__stdout__", io.TextIOWrapper(io.BytesIO(), encoding="cp1252"))
    lines: list[str] = []
    reporter: Any = SimpleNamespace(section=lines.append, write_line=lines.append)
    stash = pytest.Stash()
    stash[plugin.RESULTS] = {"signs": make_results(make_measurement(), question="Is θ above 40%?")}
    stash[plugin.UNWRITTEN] = ["no results"]
    config: Any = SimpleNamespace(stash=stash)
    reporter.write_line = lambda line, **how: lines.append(line)
    plugin.pytest_terminal_summary(reporter, config)
    assert "Is theta above 40%?" in lines[1] and "\n" in lines[1]
    lines[1].encode("cp1252")
