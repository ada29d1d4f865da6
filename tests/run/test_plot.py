"""``hqp plot``: each figure of each model is a file, the same for the same results."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

import pytest

from hqp import cli, documents
from hqp.records import Case, Measurement, Results, Tried
from hqp.reports import _drawn, _figures
from hqp.run.plot import draw

FIGURES = ("accuracy-latency", "speedups", "pruning-path", "samples", "costs")


@pytest.fixture
def results(tmp_path: Path, make_measurement: Callable[..., Measurement], make_results: Callable[..., Results]) -> Path:
    path = tmp_path / "signs.json"
    case = Case("nets/a$b$.py:build", "hqp", "cpu_openvino")
    measured = make_measurement(case=case)
    tried = (
        Tried("module", 0.6, None, None, False),
        Tried("module", 0.5, 0.4, 0.9, True),
        Tried("file", 0.5, 0.5, 1.0, True),
        Tried("certificate", 0.5, 0.6, 1.1, True),
    )
    measured = replace(measured, sidecar=replace(measured.sidecar, tried=tried))
    documents.write(path, make_results(measured))
    return path


def test_every_figure_is_an_svg_that_says_what_it_draws(results: Path, tmp_path: Path) -> None:
    written = draw(results, tmp_path / "out", "svg")
    assert [Path(name).name for name in written] == [f"nets-a-b-.py-build-{name}.svg" for name in FIGURES]
    texts = [ElementTree.parse(name).getroot().itertext() for name in written]
    assert all("hqp" in "".join(one) for one in texts)
    assert "on 'test'" in (tmp_path / "out" / "nets-a-b-.py-build-pruning-path.svg").read_text(encoding="utf-8")
    again = draw(results, tmp_path / "again", "svg")
    assert [Path(name).read_bytes() for name in written] == [Path(name).read_bytes() for name in again]


def test_a_png_is_a_png_and_its_name_is_printed(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["plot", str(results), "--format", "png", "--out", str(tmp_path / "out")]) == 0
    names = capsys.readouterr().out.split()
    assert len(names) == len(FIGURES) and all(Path(name).read_bytes().startswith(b"\x89PNG") for name in names)


@pytest.mark.parametrize("form", ["csv", "json"])
def test_what_is_drawn_is_told_in_numbers_too(
    results: Results, tmp_path: Path, form: Literal["csv", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    assert list(_figures.FIGURES) == [*FIGURES, "history"]
    assert list(_drawn.ROWS) == list(_figures.FIGURES.values())
    assert cli.main(["plot", str(results), "--format", form, "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr()
    assert [Path(name).name for name in said.out.split()] == [f"nets-a-b-.py-build-{name}.{form}" for name in FIGURES]
    assert said.err.startswith("hqp: no figure of the history: no commit holds a baseline of these cases")
    files = {name: (tmp_path / "out" / f"nets-a-b-.py-build-{name}.{form}").read_text() for name in FIGURES}
    case = {"model": "nets/a$b$.py:build", "method": "hqp", "device": "cpu_openvino"}
    first = {"step": 0, "judged": "module", "sparsity": 0.6, "drop_pp": None, "upper_pp": None, "held": False}
    if form == "json":
        assert json.loads(files["pruning-path"])[0] == {**case, **first}
        assert len(json.loads(files["samples"])) == 100
    else:
        assert files["pruning-path"].splitlines()[1] == "nets/a$b$.py:build,hqp,cpu_openvino,0,module,0.6,,,False"
        assert files["costs"].splitlines()[1].endswith("sensitivity,12.5,5000,1,False")
