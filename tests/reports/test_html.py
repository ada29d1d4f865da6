"""The HTML page in a real browser: what it says is what the results hold, it sends no request, and all can read it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from hqp.records import Case, Judgement, LayerRecord, Measurement, Metric, PairedLatency, Results
from hqp.reports import _sections, html

Make = Callable[..., Measurement]
MakeResults = Callable[..., Results]

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
HOSTILE = "<script>alert(1)</script>$\\frac{1}{2}$&amp;\"'"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("there is no Chromium to open a page in: apt-get install chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        # The page is ours and sends no request; as root, Chromium has no sandbox.
        opened = started.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@dataclass(frozen=True)
class Opened:
    """A page that was opened from disk, and what the browser saw of it."""

    page: Any
    said: list[str]
    requests: list[str]


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    contexts = []

    def show(results: Results, **how: Any) -> Opened:
        file = tmp_path / "report.html"
        file.write_text(html.render(results), encoding="utf-8")
        context = browser.new_context(**how)
        contexts.append(context)
        page = context.new_page()
        seen = Opened(page, [], [])
        page.on("console", lambda message: seen.said.append(message.text))
        page.on("pageerror", lambda error: seen.said.append(str(error)))
        page.on("request", lambda request: seen.requests.append(request.url))
        page.goto(file.as_uri())
        seen.requests.remove(file.as_uri())
        return seen

    yield show
    for context in contexts:
        context.close()


@pytest.fixture
def run(
    make_measurement: Make,
    make_results: MakeResults,
    make_latency: Callable[..., PairedLatency],
    make_judgement: Callable[..., Judgement],
) -> Results:
    """Three cases of one model: one that passes, one that fails, and one that is neither timed nor gated."""
    dense = make_measurement(case=Case("resnet18", "fp32", "cpu_openvino"), fp32_accuracy=None, metrics=())
    dense = replace(dense, latency=replace(dense.latency, blocks=()))
    times = make_latency([[5.0, 5.0, 6.0]] * 20, [[2.0, 2.0, 3.0]] * 20)
    fast = make_measurement(case=Case("resnet18", "hqp", "cpu_openvino"), latency=times)
    slow = make_measurement(case=Case("resnet18", "hqp", "cpu_onnxruntime"), latency=times)
    judgements = (
        make_judgement(fast, "speedup", "pass"),
        make_judgement(fast, "size", "pass"),
        make_judgement(slow, "speedup", "fail"),
        make_judgement(slow, "size", "inconclusive"),
    )
    return make_results(dense, fast, slow, judgements=judgements)


def many(run: Results, count: int) -> Results:
    """So many cases, a hundred of each model."""
    one = run.measurements[1]
    cases = [Case(f"net{number // 100}", f"method{number % 100}", "cpu_openvino") for number in range(count)]
    measured = tuple(replace(one, case=case) for case in cases)
    return replace(
        run, measurements=measured, judgements=tuple(replace(run.judgements[0], case=case) for case in cases)
    )


def rows(page: Any, caption: str) -> list[list[str]]:
    """The text of each cell of the table with this caption."""
    table = page.locator("table", has=page.locator("caption", has_text=caption)).first
    return [
        [cell.strip() for cell in row.locator("th, td").all_inner_texts()] for row in table.locator("tbody tr").all()
    ]


def test_the_numbers_on_the_page_are_those_of_the_results(opened: Callable[..., Opened], run: Results) -> None:
    seen = opened(run)
    seen.page.evaluate("document.querySelectorAll('details').forEach(one => one.open = true)")
    for section in (*_sections.summaries(run), *_sections.details(run)):
        if section.model:
            assert rows(seen.page, section.title) == [[" ".join(cell.split()) for cell in row] for row in section.rows]
    matrix = rows(seen.page, "the worst verdict")
    assert matrix == [
        ["resnet18", "fp32", "not gated", "not gated"],
        ["resnet18", "hqp", "✓ pass (2)", "✗ fail: speedup"],
    ]


def test_what_did_not_pass_comes_first_with_what_to_type(opened: Callable[..., Opened], run: Results) -> None:
    page = opened(run).page
    case = "resnet18-hqp-cpu_onnxruntime"
    assert page.locator("#verdicts .reasons li").all_inner_texts() == [
        f"✗ speedup {case}: speedup says fail\npytest suites/signs.py::{case}::speedup",
        f"? size {case}: size says inconclusive\npytest suites/signs.py::{case}::size",
    ]
    assert page.locator("h2").first.inner_text() == "gates: 2 passed, 1 failed, 1 inconclusive, 0 skipped"


def test_layers_are_told_one_by_one(opened: Callable[..., Opened], run: Results) -> None:
    pruned = LayerRecord("conv1", 64, 40, 1.5e-6, None, 0.5, 0.25, 0.001, 0.0005, "int8")
    whole = replace(pruned, layer="fc", channels=10, kept_channels=10)
    dense, fast, slow = run.measurements
    measured = (replace(dense, layers=(whole,)), replace(fast, layers=(pruned, whole)), slow)
    page = opened(replace(run, measurements=measured)).page
    assert page.locator("summary", has_text="layers of").all_inner_texts() == [
        "layers of fp32 on cpu_openvino",
        "layers of hqp on cpu_openvino",
    ]
    page.locator("summary", has_text="layers of hqp").click()
    assert rows(page, "layers of hqp") == [
        ["conv1", "64", "40", "1.50e-06", "–", "0.500", "0.250", "int8"],
        ["fc", "10", "10", "1.50e-06", "–", "0.500", "0.250", "int8"],
    ]


def test_what_operators_take_is_told_the_largest_first(opened: Callable[..., Opened], run: Results) -> None:
    times = {"/stem/Conv": (0.25, 0.3, 0.2), "reorder": (0.0,), "/head/Gemm": (0.75,)}
    metrics = tuple(Metric("operator_time", "ms", samples, of=operator) for operator, samples in times.items())
    dense, fast, slow = run.measurements
    page = opened(replace(run, measurements=(dense, replace(fast, metrics=metrics), slow))).page
    page.locator("summary", has_text="operator time of").click()
    assert rows(page, "operator time of") == [
        ["/head/Gemm", "0.750", "75.0"],
        ["/stem/Conv", "0.250", "25.0"],
        ["reorder", "0.00", "0.0"],
    ]


@pytest.mark.parametrize("count", (1, 3, 300))
def test_a_page_asks_for_nothing_and_says_nothing_whatever_its_length(
    opened: Callable[..., Opened], run: Results, count: int
) -> None:
    seen = opened(many(run, count))
    assert (seen.requests, seen.said) == ([], [])
    assert seen.page.locator("#verdicts tbody tr").count() == count


def test_a_page_of_24_cases_is_below_a_megabyte(run: Results, make_latency: Callable[..., PairedLatency]) -> None:
    # 40 blocks of 100 samples an arm: more than is drawn one by one.
    long = make_latency([[5.0, 6.0] * 50] * 40, [[2.0, 3.0] * 50] * 40)
    results = many(run, 24)
    results = replace(results, measurements=tuple(replace(row, latency=long) for row in results.measurements))
    assert len(html.render(results).encode()) < 1_000_000


def test_names_that_a_browser_would_obey_are_text(opened: Callable[..., Opened], run: Results) -> None:
    case = Case(HOSTILE, HOSTILE, "cpu_openvino")
    hostile = replace(
        run,
        suite=HOSTILE,
        question=HOSTILE,
        measurements=(replace(run.measurements[1], case=case),),
        judgements=(replace(run.judgements[0], case=case),),
    )
    seen = opened(hostile)
    assert (seen.requests, seen.said) == ([], [])
    assert seen.page.locator("script").count() == 0
    assert seen.page.locator("h2", has_text=HOSTILE).count() == 1


@pytest.mark.parametrize("scheme", ("light", "dark"))
@pytest.mark.parametrize("width", (320, 1200))
def test_everybody_can_read_it(opened: Callable[..., Opened], run: Results, scheme: str, width: int) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    seen = opened(run, color_scheme=scheme, viewport={"width": width, "height": 800})
    found = axe.Axe().run(seen.page)
    assert found.violations_count == 0, found.generate_report()
    # On a phone tables scroll in their own place, and the page does not.
    assert seen.page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_page_is_the_same_for_the_same_results(run: Results) -> None:
    assert html.render(run) == html.render(run)


def test_a_run_that_measured_nothing_is_a_page_too(opened: Callable[..., Opened], run: Results) -> None:
    seen = opened(replace(run, measurements=(), judgements=()))
    assert seen.said == [] and seen.page.locator("h1").inner_text() == f"HQP, suite {run.suite}"
