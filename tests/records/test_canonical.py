"""A digest names a value whatever the order of its keys, and nothing else is one."""

from __future__ import annotations

import pytest

from hqp.records import digest_of, is_digest


def test_a_value_has_one_digest_whatever_its_order() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
    assert is_digest(digest_of(None))


@pytest.mark.parametrize("text", ["", "a" * 63, "a" * 65, "A" * 64, "a" * 64 + "\n", "../" + "a" * 61])
def test_what_is_no_digest_names_no_file(text: str) -> None:
    assert not is_digest(text)
