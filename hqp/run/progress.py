"""What is running and how much is left, on standard error: live bars on a terminal, a line a step elsewhere."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bars
from rich.text import Text

from hqp.run.remaining import Remaining, rounded

# A step that takes less is not worth a line in a log.
SHORTEST_LOGGED_S = 1.0
# One that goes on says in a log how far it is after so long, and again whenever it has taken twice that: few lines.
FIRST_SAID_S = 20.0
PERCENT = 100


class LeftColumn(ProgressColumn):
    """How long a task will still take: of the whole by what its stages were expected to be, else by its own speed.

    Of a step that does not know how much it is, how long it has taken.
    """

    def __init__(self) -> None:
        super().__init__()
        self._by_speed = TimeRemainingColumn()

    def render(self, task: Task) -> RenderableType:
        """The cell of a task."""
        remaining = task.fields.get("remaining")
        if remaining is None and task.total is None:
            return Text(f"{task.elapsed or 0:.0f} s so far", style="progress.elapsed")
        if remaining is None:
            return self._by_speed(task)
        seconds = remaining.seconds
        return Text(f"about {rounded(seconds)} left" if seconds is not None else "", style="progress.remaining")


@dataclass
class Progress:
    """Shows the steps of a run; ``track`` is what workflows hand to the engines."""

    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    _bars: Bars | None = None
    _place: str = ""
    _remaining: Remaining | None = None

    @contextmanager
    def case(self, name: str, number: int, total: int) -> Iterator[None]:
        """While one case of a run is measured: its name, and where it stands in the run."""
        self._place = f"[{number}/{total}] {name}"
        live = self._live() if self.console.is_terminal else nullcontext()
        try:
            with live as bars:
                self._bars = bars
                if bars is not None:
                    bars.add_task(self._place, total=total, completed=number - 1, remaining=self._remaining)
                yield
        finally:
            self._bars, self._place = None, ""

    def _live(self) -> Bars:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), LeftColumn())
        return Bars(*columns, console=self.console, transient=True)

    @contextmanager
    def whole(self, works: Mapping[str, float], most_seconds: float = math.inf) -> Iterator[Callable[[str], None]]:
        """While stages of these expected works run, by name; the caller says which of them begins.

        Cases may be stages; no stage begins after ``most_seconds``.
        """
        self._remaining = remaining = Remaining(works, most_seconds=most_seconds)
        bars = self._bars
        task = bars.add_task("  all of it", total=PERCENT, remaining=remaining) if bars else None

        def begin(stage: str) -> None:
            remaining.begin(stage)
            if bars is not None and task is not None:
                bars.update(task, completed=round(PERCENT * remaining.share_done))

        try:
            yield begin
        finally:
            self._remaining = None
            if bars is not None and task is not None:
                bars.remove_task(task)

    def _left(self) -> str:
        seconds = self._remaining.seconds if self._remaining else None
        return f"; about {rounded(seconds)} left" if seconds is not None else ""

    def say(self, line: str, loud: bool = False) -> None:
        """Shows a line that the user should read; a loud one in bold, where the terminal has that."""
        style = "bold" if loud else None
        self.console.print(f"{self._place} {line}".strip(), soft_wrap=True, markup=False, style=style)

    @contextmanager
    def track(self, step: str, total: int) -> Iterator[Callable[[int], None]]:
        """While a step of ``total`` units runs; the caller reports units done."""
        start = time.perf_counter()
        with self._bar(step, total) as advance:
            yield advance
        seconds = time.perf_counter() - start
        if seconds < SHORTEST_LOGGED_S:
            return
        if self._remaining is not None:
            self._remaining.worked()
        if not self.console.is_terminal:
            self.say(f"{step}: {seconds:.0f} s{self._left()}")

    @contextmanager
    def _bar(self, step: str, total: int) -> Iterator[Callable[[int], None]]:
        """A bar on a terminal, in a log a line now and then."""
        if not self.console.is_terminal:
            yield self._log(step, total)
            return
        with nullcontext(self._bars) if self._bars else self._live() as bars:
            task = bars.add_task(f"  {step}", total=total or None)
            try:
                yield lambda units: bars.advance(task, units)
            finally:
                bars.remove_task(task)

    def _log(self, step: str, total: int) -> Callable[[int], None]:
        """What a step of ``total`` units calls with those done, and that says how far it is where it takes long."""
        start, said_s, done = time.perf_counter(), FIRST_SAID_S / 2, 0

        def advance(units: int) -> None:
            nonlocal said_s, done
            done += units
            seconds = time.perf_counter() - start
            if seconds < 2 * said_s or not 0 < done < total:
                return
            said_s = seconds
            left = seconds * (total - done) / done
            self.say(f"{step}: {done / total:.0%}; about {rounded(left)} of it left")

        return advance
