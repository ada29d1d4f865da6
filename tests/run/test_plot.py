"""``hqp plot``: each figure of each model is a file, the same for the same results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from hqp import cli, documents
from hqp.records import Case, Measurement, Results, Tried
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
