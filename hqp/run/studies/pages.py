"""The pages of ``docs/results`` and the README's picture, made of results files: `nox -s results` and `-s picture`.

A page is the Markdown report of the results file of its name, below the line ``MARK``; what stands above it was
written by hand, and is kept.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hqp import catalog, documents
from hqp.errors import HqpError, command
from hqp.records import Results
from hqp.run.baseline import read_results

RESULTS, PAGES = Path(".hqp", "results"), Path("docs", "results")
PICTURE = Path("docs", "report.png")
MARK = "<!-- Below this line: `nox -s results`, from the results file of the run. -->"

# What a README's picture may take, and how wide it is.
MOST_BYTES, WIDTH = 200_000, 1200
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# The verdicts beside the first figure of the first model, and nothing else.
CHOSEN = """() => {
  const figure = document.querySelector('figure');
  const verdicts = document.querySelector('#verdicts');
  const row = document.createElement('div');
  row.style = 'display: grid; grid-template-columns: auto 1fr; gap: 2rem; align-items: start';
  const name = figure.closest('section').querySelector('h2');
  const beside = document.createElement('div');
  name.style = verdicts.querySelector('h2').style = 'border: none; margin: 0; padding: 0';
  beside.append(name, figure);
  verdicts.querySelectorAll('.reasons').forEach(reasons => reasons.remove());
  row.append(verdicts, beside);
  document.querySelector('main').replaceChildren(row);
  document.querySelectorAll('nav, .skip').forEach(unused => unused.remove());
  document.body.style = 'max-width: none; margin: 0; padding: 1.5rem';
}"""


def write_page(file: Path, pages: Path = PAGES) -> Path:
    """Writes the page that is named as a results file, below what stands there by hand.

    Raises:
        HqpError: there is no such results file, or the page has no line ``MARK``.
    """
    results = read_results(file)
    page = pages / f"{file.stem}.md"
    before = page.read_text(encoding="utf-8") if page.is_file() else f"# Suite {results.suite}\n\n{MARK}"
    by_hand, mark, _ = before.partition(MARK)
    if not mark:
        raise HqpError(f"{page} does not say where its report begins", f"the line {MARK} above it")
    report = catalog.load("reports", "markdown").render(results)
    documents.write_bytes(page, f"{by_hand}{MARK}\n\n{report}".encode())
    return page


def write_picture(file: Path, picture: Path = PICTURE) -> Path:
    """Draws the top of a run's page, its verdicts beside accuracy and latency, as a PNG.

    Raises:
        HqpError: there is no such results file, no Chromium, or the picture takes too many bytes.
    """
    content = _shot(read_results(file))
    if len(content) > MOST_BYTES:
        raise HqpError(f"the picture of {file} takes {len(content):,} bytes", f"{MOST_BYTES:,} at most, a smaller run")
    documents.write_bytes(picture, content)
    return picture


def _shot(results: Results) -> bytes:
    from playwright.sync_api import sync_playwright

    page = catalog.load("reports", "html").render(results)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as started:
        file = Path(folder, "report.html")
        file.write_text(page, encoding="utf-8")
        # The page is ours and sends no request; as root, Chromium has no sandbox.
        browser = started.chromium.launch(executable_path=_chromium(), args=["--no-sandbox"])
        opened: Any = browser.new_page(viewport={"width": WIDTH, "height": 400}, color_scheme="light")
        opened.goto(file.as_uri())
        opened.evaluate(CHOSEN)
        content: bytes = opened.screenshot(full_page=True)
        browser.close()
    return content


def _chromium() -> str:
    found = next(filter(None, map(shutil.which, CHROMIUM)), None)
    if found is None:
        raise HqpError("there is no Chromium to draw the page", fix="apt-get install chromium")
    return found


def main(words: list[str]) -> None:
    """``pages [FILE…]`` writes the pages of these results files, or of all that are here; ``picture [FILE]`` one."""
    what, *named = words
    files = [Path(name) for name in named] or sorted(RESULTS.glob("*.json"))
    if not files:
        raise HqpError(f"there are no results in {RESULTS}", "those of a run", command("nox", "-s", "bench"))
    if what == "picture":
        print(write_picture(files[0] if named else RESULTS / "signs.json"))
        return
    for file in files:
        print(write_page(file))


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except HqpError as error:
        sys.exit(f"hqp: error: {error}")
