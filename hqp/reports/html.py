"""One HTML page: verdicts first, then accuracy, latency and cost with their figures; it sends no request."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from importlib import resources

from hqp.records import Case, Judgement, Results
from hqp.reports import (
    _drawing,
    _figures,
    _history,
    _layers,
    _layout,
    _numbers,
    _provenance,
    _sections,
    _verdicts,
)

suffix = ".html"
requires = ("jinja2", "matplotlib")

# Beyond so many cases a page shows nothing of single cases: nobody looks at hundreds of drawings.
MOST_CASES = 48

# What a browser shows without it: the prologue, the metadata and what the drawing says of its own making.
PROLOGUE = re.compile(r"<\?xml.*?\?>|<!DOCTYPE.*?>|<metadata>.*?</metadata>", re.DOTALL)
# Fonts are the page's own, a turn by nothing is none, and between tags nothing is seen.
SUPERFLUOUS = re.compile(r"font-family: [^;\"]*; |font: [^;\"]*; | transform=\"rotate\(-?0 [^\"]*\"|(?<=>)\s+(?=<)")
# A tenth of a point is finer than a screen shows.
DIGITS = re.compile(r"(\d\.\d)\d+")
PATH = re.compile(r' (d|x|y)="([^"]*)"')
NAMESPACES = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
SIZE = re.compile(r'<svg [^>]*viewBox="([^"]*)"[^>]*>')


@dataclass(frozen=True)
class Drawn:
    """A figure on the page: what it shows, in words and in SVG."""

    label: str
    svg: str


@dataclass(frozen=True)
class Cell:
    """What the gates that bind a case said of it, worst first: an outcome, or '' where none binds it."""

    outcome: str
    text: str


@dataclass(frozen=True)
class ModelPart:
    """What the page says of one model."""

    name: str
    sections: tuple[_layout.Section, ...]
    figures: tuple[Drawn, ...]
    details: tuple[_layout.Section, ...]


def render(results: Results) -> str:
    """The page, which opens from disk, holds all that it shows, and is the same for the same results."""
    import jinja2

    strict = jinja2.StrictUndefined
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=strict)
    template = environment.from_string(resources.files("hqp.reports").joinpath("_page.html").read_text("utf-8"))
    details = tuple(_sections.details(results))
    history = _history.read(results)
    page: str = template.render(
        results=results,
        palette=_drawing.PALETTE,
        symbols=_verdicts.SYMBOLS,
        devices=tuple(dict.fromkeys(row.case.device for row in results.measurements)),
        matrix=_matrix(results),
        counted=_verdicts.counted(results),
        not_passed=tuple(_verdicts.not_passed(results)),
        skipped=tuple(_verdicts.skipped(results)),
        compared_with=_provenance.compared_with(results),
        models=[_model(results, summary, details, history) for summary in _sections.summaries(results)],
        rest=[section for section in details if not section.model] + [_provenance.origin(results)],
        no_history=history.absent,
    )
    return page


def _model(
    results: Results, summary: _layout.Section, details: tuple[_layout.Section, ...], history: _history.History
) -> ModelPart:
    model = summary.model
    sections = [summary]
    if history.of(results, model):
        sections.append(_history.section(history, results, model))
    figures = tuple(_drawn(draw, results, model) for draw in _fitting(results, history))
    folded = [section for section in details if section.model == model]
    if _is_short(results):
        folded += _of_each_case(results, model)
    return ModelPart(model, tuple(sections), figures, tuple(folded))


def _of_each_case(results: Results, model: str) -> list[_layout.Section]:
    """The layers of each case of a model, and then what else was measured of its parts."""
    measured = [row for row in results.measurements if row.case.model == model]
    layers = [_layers.layers(row) for row in measured if row.layers]
    return [*layers, *(section for row in measured for section in _layers.parts(row))]


def _is_short(results: Results) -> bool:
    """Whether a page has room for what is told of each case alone."""
    return len(results.measurements) <= MOST_CASES


def _fitting(results: Results, history: _history.History) -> list[_drawing.Draw]:
    """The figures that a page of so many cases has room for; ``hqp plot`` draws the others."""
    of_each_case = (_figures.samples, _figures.pruning_path)
    named = [_figures.FIGURES[name] for name in _figures.names(history)]
    return [draw for draw in named if _is_short(results) or draw not in of_each_case]


def _drawn(draw: _drawing.Draw, results: Results, model: str) -> Drawn:
    label = " ".join((draw.__doc__ or "").split())
    svg = _drawing.svg(partial(draw, results, model), f"{draw.__name__} {model}")
    return Drawn(label, embedded(svg, f"{model}. {label}"))


def embedded(svg: str, label: str) -> str:
    """An SVG drawing as a part of a page: small, in the page's own colours, as wide as there is room, with a name."""
    from markupsafe import Markup, escape

    bare = SUPERFLUOUS.sub("", PROLOGUE.sub("", svg))
    small = PATH.sub(lambda found: f' {found[1]}="{_rounded(found[2])}"', bare)
    for name, colour in _drawing.PALETTE.items():
        small = small.replace(colour, f"var(--{name})")
    # The page says how wide a figure is: the drawing keeps its shape alone.
    size = SIZE.search(small)
    shape = size[1] if size else ""
    opening = f'<svg {NAMESPACES} viewBox="{shape}" role="img" aria-label="{escape(label)}">'
    marked: str = Markup(SIZE.sub(lambda _: opening, small, count=1).strip())
    return marked


def _rounded(numbers: str) -> str:
    return " ".join(DIGITS.sub(r"\1", numbers).split())


def _matrix(results: Results) -> list[tuple[str, str, list[Cell]]]:
    """The verdicts of each model and method, a cell a device."""
    devices = tuple(dict.fromkeys(row.case.device for row in results.measurements))
    rows = dict.fromkeys((row.case.model, row.case.method) for row in results.measurements)
    return [
        (model, method, [_cell(results.judgements, Case(model, method, device)) for device in devices])
        for model, method in rows
    ]


def _cell(judgements: tuple[Judgement, ...], case: Case) -> Cell:
    mine = [one for one in judgements if one.case == case and one.bound and one.verdict]
    outcomes = [one.verdict.outcome for one in mine if one.verdict]
    for outcome in _numbers.WORST_FIRST:
        if outcome in outcomes:
            gates = [one.gate for one in mine if one.verdict and one.verdict.outcome == outcome]
            return Cell(outcome, f"{outcome}: {', '.join(gates)}" if outcome != "pass" else f"pass ({len(gates)})")
    return Cell("", "not gated")
