"""What is running and how much is left, on standard error: live bars on a terminal, a line a step elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

# A step that takes less is not worth a line in a log.
SHORTEST_LOGGED_S = 1.0


@dataclass
class Progress:
    """Shows the steps of a run; ``track`` is what workflows hand to the engines."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    _bars: Bars | None = None
    _place: str = ""

    @contextmanager
    def case(self, name: str, number: int, total: int) -> Iterator[None]:
        """While one case of a run is measured: its name, and where it stands in the run."""
        self._place = f"[{number}/{total}] {name}"
        live = self._live() if self.console.is_terminal else nullcontext()
        try:
            with live as bars:
                self._bars = bars
                if bars is not None:
                    bars.add_task(self._place, total=total, completed=number - 1)
                yield
        finally:
            self._bars, self._place = None, ""

    def _live(self) -> Bars:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        return Bars(*columns, console=self.console, transient=True)

    def say(self, line: str) -> None:
        """Shows a line that the user should read."""
        self.console.print(f"{self._place} {line}".strip(), soft_wrap=True, markup=False)

    @contextmanager
    def track(self, step: str, total: int) -> Iterator[Callable[[int], None]]:
        """While a step of ``total`` units runs; the caller reports units done."""
        start = time.perf_counter()
        if self.console.is_terminal:
            with nullcontext(self._bars) if self._bars else self._live() as bars:
                task = bars.add_task(f"  {step}", total=total or None)
                try:
                    yield lambda units: bars.advance(task, units)
                finally:
                    bars.remove_task(task)
            return
        yield lambda units: None
        seconds = time.perf_counter() - start
        if seconds >= SHORTEST_LOGGED_S:
            self.say(f"{step}: {seconds:.0f} s")
