"""The plug-ins there are, by kind and name, with the first sentence of each file."""

from __future__ import annotations

import pytest

from hqp import catalog
from hqp.errors import UnknownName
from hqp.run.listing import listing


def test_a_kind_is_listed_in_the_order_of_its_names() -> None:
    listed = listing("criteria")
    assert [(one.kind, one.name) for one in listed] == [("criteria", name) for name in catalog.names("criteria")]
    norm = next(one for one in listed if one.name == "magnitude")
    assert norm.summary == "The norm of a filter's weights: small filters are held to matter least."


def test_every_plug_in_of_every_kind_has_a_sentence() -> None:
    every = listing()
    assert {one.kind for one in every} == set(catalog.KINDS)
    assert [one.name for one in every if not one.summary] == []


def test_what_follows_a_colon_is_told() -> None:
    arguments = {one.name: one.argument for one in listing("models")}
    assert (arguments["python"], arguments["resnet18"]) == ("FILE.py:FUNCTION", None)


def test_an_unknown_kind_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="unknown kind of plug-in 'gate'"):
        listing("gate")
