"""The pages of results and the README's picture are made of results files, by the code that a session runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from hqp import documents
from hqp.errors import HqpError
from hqp.records import Judgement, Measurement, Results
from hqp.reports import brief, markdown
from hqp.run.studies import pages

Make = Callable[..., Measurement]
MakeResults = Callable[..., Results]


@pytest.fixture
def file(
    tmp_path: Path, make_measurement: Make, make_results: MakeResults, make_judgement: Callable[..., Judgement]
) -> Path:
    measured = make_measurement()
    path = tmp_path / "signs.json"
    documents.write(path, make_results(measured, judgements=(make_judgement(measured, "size", "pass"),)))
    return path


def test_a_page_is_the_report_below_what_was_written_by_hand(file: Path, tmp_path: Path) -> None:
    page = pages.write_page(file, tmp_path / "docs")
    report = markdown.render(documents.read(file, Results, fix=""))
    assert page.read_text(encoding="utf-8") == f"# Suite signs\n\n{pages.MARK}\n\n{report}"
    page.write_text(f"# Signs\n\nBy hand.\n\n{pages.MARK}\n\nan old report\n", encoding="utf-8")
    assert pages.write_page(file, tmp_path / "docs") == page
    assert page.read_text(encoding="utf-8") == f"# Signs\n\nBy hand.\n\n{pages.MARK}\n\n{report}"


def test_a_page_by_hand_alone_is_not_overwritten(file: Path, tmp_path: Path) -> None:
    page = tmp_path / "docs" / "signs.md"
    page.parent.mkdir()
    page.write_text("# Signs\n", encoding="utf-8")
    with pytest.raises(HqpError, match="does not say where its report begins"):
        pages.write_page(file, page.parent)
    assert page.read_text(encoding="utf-8") == "# Signs\n"


def test_every_page_of_results_says_where_its_report_begins() -> None:
    written = sorted((Path(__file__).parents[3] / "docs" / "results").glob("*.md"))
    assert written and all(page.read_text(encoding="utf-8").count(pages.MARK) == 1 for page in written)


def test_the_picture_is_a_small_png_of_the_top_of_the_page(file: Path, tmp_path: Path) -> None:
    pytest.importorskip("playwright.sync_api")
    if not any(map(shutil.which, pages.CHROMIUM)):
        pytest.skip("there is no Chromium to open a page in: apt-get install chromium")
    picture = pages.write_picture(file, tmp_path / "report.png")
    assert picture.stat().st_size < pages.MOST_BYTES
    with Image.open(picture) as image:
        assert image.width == pages.WIDTH and 300 < image.height < 1200
        assert image.convert("RGB").getpixel((2, 2)) == (255, 255, 255)


def test_a_brief_report_is_one_table_with_where_it_comes_from(
    make_measurement: Make, make_results: MakeResults
) -> None:
    text = brief.render(make_results(make_measurement()))
    lines = text.splitlines()
    assert [cell.strip() for cell in lines[2].split("|")[1:-1]] == [
        "resnet18", "`hqp`", "98.95", "0.50", "25.0", "5.60x", "2.002", "2.51x (2.49 to 2.51)",
    ]  # fmt: skip
    assert lines[4] == (
        "On `cpu_openvino`, 2026-03-01 12:00 UTC, by `pytest suites/signs.py` of HQP 0.1.0:"
        " cpu a processor, cores 2, system Linux."
    )
    assert brief.render(make_results()) == "Nothing was measured.\n"
