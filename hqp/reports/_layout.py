"""How a report is laid out before it is rendered: sections with a table each, and the cells of its columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from hqp.records import Measurement

ABSENT = "–"


@dataclass(frozen=True)
class Column:
    """A column of a table of measurements; of those with a ``rank``, the highest goes first where room is short."""

    header: str
    cell: Callable[[Measurement], str]
    rank: int = 0


@dataclass(frozen=True)
class Section:
    """A titled table with lines below it; either may be empty.

    The first ``texts`` columns hold words and say what a row is of, the last ``trailing`` hold words too. ``ranks``
    tells which headers may be left out where the table is too wide, the highest first; those that it does not name
    always stay. ``model`` is the one that the section is of, '' where it is of the whole run. ``grouped``: the second
    column may become a row above those that share it, where there is no room for it.
    """

    title: str
    headers: tuple[str, ...] = ()
    rows: tuple[tuple[str, ...], ...] = ()
    lines: tuple[str, ...] = ()
    texts: int = 2
    ranks: Mapping[str, int] = field(default_factory=dict)
    model: str = ""
    trailing: int = 0
    grouped: bool = False

    def is_text(self, column: int) -> bool:
        """Whether a column holds words, which are set to the left and may be wrapped."""
        return column < self.texts or column >= len(self.headers) - self.trailing


def number(value: float, places: int) -> str:
    """A number with its thousands separated."""
    return f"{value:,.{places}f}"


def table(columns: Iterable[Column], measured: list[Measurement]) -> tuple[tuple[str, ...], ...]:
    """A row for each measurement, a cell for each column."""
    columns = tuple(columns)
    return tuple(tuple(column.cell(measurement) for column in columns) for measurement in measured)


def headers(columns: Iterable[Column]) -> tuple[str, ...]:
    """What stands above the columns."""
    return tuple(column.header for column in columns)


def ranks(columns: Iterable[Column]) -> dict[str, int]:
    """The columns that may be left out, by what stands above them."""
    return {column.header: column.rank for column in columns if column.rank}
