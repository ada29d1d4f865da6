"""An error on purpose is one line: what is wrong, what would be right, what to type."""

from __future__ import annotations

import shlex
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hqp.errors import HqpError, NotInstalled, UnknownName, command


def test_the_three_parts_stand_on_one_line() -> None:
    error = HqpError("the input size is 3 pixels", "8 or more", "--input-size 96")
    assert str(error) == "the input size is 3 pixels; 8 or more; try: --input-size 96"


def test_parts_that_are_not_given_leave_no_trace() -> None:
    assert str(HqpError("wrong")) == "wrong"
    assert str(HqpError("wrong", fix="this")) == "wrong; try: this"
    assert str(HqpError("wrong", "right")) == "wrong; right"


PART = st.text(st.sampled_from("ab \t\n\r\v\f\x1c\x85\u2028\u2029é…"), max_size=12)


@settings(deadline=None)
@given(PART, PART, PART)
def test_whatever_is_put_in_it_stays_one_line(wrong: str, right: str, fix: str) -> None:
    assert len(str(HqpError(wrong, right, fix)).splitlines()) <= 1


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    known = ("speedup", "size", "accuracy_drop")
    assert str(UnknownName("gate", "speed_up", known)) == (
        "unknown gate 'speed_up'; did you mean speedup?; try: hqp list"
    )


def test_an_unknown_name_that_is_near_to_none_gets_all() -> None:
    assert str(UnknownName("gate", "xyz", ("size", "accuracy_drop"), "hqp list gates")) == (
        "unknown gate 'xyz'; there are: accuracy_drop, size; try: hqp list gates"
    )
    assert str(UnknownName("gate", "xyz", ())) == "unknown gate 'xyz'; there are: none; try: hqp list"


def test_what_is_not_installed_gets_the_command_that_installs_it() -> None:
    assert str(NotInstalled("runtime 'openvino'", ("openvino",), "openvino")) == (
        "runtime 'openvino' needs openvino, not installed here; try: pip install 'hqp[openvino]'"
    )


@given(st.lists(st.text(st.characters(exclude_characters="\0", exclude_categories=("Cs",))), min_size=1))
def test_a_command_is_what_a_shell_reads(words: list[str]) -> None:
    assert shlex.split(command(*words)) == words
    assert command("hqp", "bench", Path("my models/net")) == "hqp bench 'my models/net'"
