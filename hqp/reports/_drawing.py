"""How figures are drawn: their style and colours, their axes, and SVG and PNG of them.

A figure is a matplotlib ``Figure`` that no window ever shows. Its colours are those of ``PALETTE``, which a page may
replace by its own so that one drawing suits a light and a dark page.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from hqp.records import Estimate, Results

# By the name that a page gives each colour.
PALETTE = {
    "ink": "#1c2128",
    "muted": "#6a737d",
    "rule": "#d6d9de",
    "accent": "#1f5fbf",
    "pass": "#17723a",
    "fail": "#b42318",
    "inconclusive": "#8a5a00",
}

WIDTH_INCHES = 8.0

STYLE: dict[str, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": PALETTE["muted"],
    "axes.grid": True,
    "axes.labelcolor": PALETTE["ink"],
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": "medium",
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "font.size": 10,
    "grid.color": PALETTE["rule"],
    "legend.frameon": False,
    "savefig.facecolor": "none",
    # Text stays text: it can be read aloud, searched and copied, and takes few bytes.
    "svg.fonttype": "none",
    "text.color": PALETTE["ink"],
    # A dollar in a model's name is a dollar.
    "text.parse_math": False,
    "xtick.color": PALETTE["muted"],
    "ytick.color": PALETTE["muted"],
}

# A figure of a run's model.
Draw = Callable[[Results, str], Any]


def svg(draw: Callable[[], Any], name: str) -> str:
    """The figure that ``draw`` makes as SVG, the same bytes for the same figure; ``name`` is of no other on a page."""
    with _styled(name):
        buffer = io.StringIO()
        # Without a date the drawing does not change from one run to the next.
        draw().savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    return buffer.getvalue()


def png(draw: Callable[[], Any]) -> bytes:
    """The figure that ``draw`` makes as PNG on white."""
    with _styled(""):
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png", bbox_inches="tight", dpi=160, facecolor="white")
    return buffer.getvalue()


@contextmanager
def _styled(salt: str) -> Iterator[None]:
    """The style of all figures; ``salt`` keeps the names within one SVG apart from those of the next on a page."""
    import matplotlib

    with matplotlib.rc_context({**STYLE, "svg.hashsalt": salt}), warnings.catch_warnings():
        # A sign that the measuring font lacks is drawn by the reader's own.
        warnings.filterwarnings("ignore", message="Glyph .* missing from", category=UserWarning)
        yield


def arms(estimate: Estimate) -> list[list[float]]:
    """How far an interval reaches below and above its value, as matplotlib wants it."""
    return [[max(0.0, estimate.value - estimate.lower)], [max(0.0, estimate.upper - estimate.value)]]


def figure(rows: int, height_inches: float, columns: int = 1) -> tuple[Any, list[Any]]:
    """A figure of so many rows of axes, one below the other."""
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(WIDTH_INCHES, height_inches * max(1, rows)), layout="constrained")
    return drawn, [drawn.add_subplot(max(1, rows), columns, place + 1) for place in range(rows * columns)]


def grid(lines: int, columns: int) -> tuple[Any, list[Any]]:
    """A figure of small axes side by side, placed by hand: a layout engine takes seconds for dozens of them."""
    from matplotlib.figure import Figure

    height_inches = 1.5 * lines
    drawn = Figure(figsize=(WIDTH_INCHES, height_inches))
    drawn.subplots_adjust(
        left=0.06, right=0.99, wspace=0.22, hspace=0.75, top=1 - 0.3 / height_inches, bottom=0.25 / height_inches
    )
    return drawn, [drawn.add_subplot(lines, columns, place + 1) for place in range(lines * columns)]
