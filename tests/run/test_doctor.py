"""``hqp doctor`` looks at every plug-in, and says what makes the rest usable."""

from __future__ import annotations

from pathlib import Path

import pytest

from hqp import catalog
from hqp.run import doctor


def test_doctor_knows_every_plugin_and_what_is_usable() -> None:
    found = {(one.kind, one.name): one for one in doctor.doctor()}
    for kind in doctor.PLUGINS:
        assert {name for word, name in found if word == catalog.singular(kind)} == set(catalog.names(kind))
    assert all(one.usable or one.fix for one in found.values())
    assert found["package", "numpy"].state
    assert {"export", "probe", "device"} <= {kind for kind, name in found}


def test_doctor_says_where_data_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HQP_DATA", str(tmp_path))
    assert doctor._data() == doctor.Finding("data", "HQP_DATA", True, str(tmp_path))
    monkeypatch.setenv("HQP_DATA", str(tmp_path / "gone"))
    assert doctor._data().state == f"{tmp_path / 'gone'} is no directory"
    monkeypatch.delenv("HQP_DATA")
    assert not doctor._data().usable


def test_a_parser_that_is_not_there_says_what_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.nvidia, "installed", lambda: False)
    found = doctor._parser()
    assert (found.kind, found.usable, found.fix) == ("parser", False, "pip install 'hqp[tensorrt-contract]'")
