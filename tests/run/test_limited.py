"""A runtime that hangs: its case is broken after the time limit, in one line, and the run goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest

from hqp import Gate, Suite, catalog
from hqp.errors import HqpError
from hqp.records import Case, Device, Measurement, Policy, Samples
from hqp.run import limited, worker
from hqp.run.context import Context
from hqp.run.limited import Limited
from hqp.run.reruns import Stored
from hqp.run.suite import SuiteRun
from hqp.runtimes import Float32, RuntimeSession
from hqp.store import Store

# Enough for what does not hang before it, on a busy machine, too.
SHORT_S = 0.5
DEVICE = Device("hanging", 1, ("fp32",), Policy(), "a device whose runtime hangs")


class Hanging(RuntimeSession):
    """Opens, judges or times as a file says, and in the place that the file names it hangs until the test is over."""

    over = threading.Event()
    closed: ClassVar[list[Path]] = []

    def _wait(self, place: str) -> None:
        if self.file.read_text() == place:
            self.over.wait()

    def _open(self) -> None:
        self._wait("open")

    def _close(self) -> None:
        self.closed.append(self.file)

    def outputs(self, images: Float32) -> Float32:
        self._wait("outputs")
        return images.mean(axis=(2, 3))

    def time(self, iterations: int) -> list[float]:
        self._wait("time")
        return [1.0] * iterations


LOAD = catalog.load


@pytest.fixture(autouse=True)
def hanging(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A device and its runtime, both named ``hanging``, and a short time limit."""
    runtime = SimpleNamespace(Session=Hanging, version=lambda host: "1", opens="onnx", __file__=__file__)
    plugins = {"devices": SimpleNamespace(device=DEVICE, facts=lambda host: {}), "runtimes": runtime}

    def load(kind: str, name: str) -> Any:
        return plugins[kind] if name == "hanging" else LOAD(kind, name)

    monkeypatch.setattr(catalog, "load", load)
    monkeypatch.setenv(limited.VARIABLE, str(SHORT_S))
    Hanging.over = threading.Event()
    Hanging.closed.clear()
    yield
    Hanging.over.set()


@pytest.fixture
def file(tmp_path: Path) -> Callable[[str], Path]:
    """A file in whose use the runtime hangs in a place."""

    def write(place: str) -> Path:
        path = tmp_path / f"{place}.onnx"
        path.write_text(place)
        return path

    return write


def images() -> Samples:
    def read(indices: Any, size: int) -> Any:
        return np.full((len(indices), size, size, 3), 200, np.uint8)

    unit = (0.5, 0.5, 0.5)
    return Samples("grey", "test", np.array([0, 1, 2]), ("a", "b", "c"), unit, unit, "e" * 64, read)


def test_what_hangs_while_it_judges_is_no_accuracy_and_the_next_file_is_judged(
    tmp_path: Path, file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Context(Store(tmp_path / "store"))
    broken, sound = file("outputs"), file("nowhere")
    said = f"judging 3 images with {broken} on hanging took longer than 0.5 s; a runtime that does not hang; try: "
    for _ in range(2):
        # Nothing of it is kept: who asks again waits again.
        with pytest.raises(HqpError) as told:
            context.judged(broken, "hanging", images(), 4)
        assert str(told.value) == said + "HQP_LIMIT_S=5, if it is only slow"
    monkeypatch.delenv(limited.VARIABLE)
    assert context.judged(sound, "hanging", images(), 4).accuracy.total == 3
    # The session that hangs is still at work, and is not closed meanwhile.
    assert (Hanging.closed.count(sound), Hanging.closed.count(broken)) == (1, 0)


def test_a_batch_has_the_limit_for_each_hundred_of_its_images(
    file: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    limits: list[float] = []

    def within(limit_s: float, what: str, work: Callable[[], Any]) -> Any:
        limits.append(limit_s)
        return work()

    monkeypatch.setattr(limited, "within", within)
    with Limited(Hanging(file("nowhere"), DEVICE)) as session:
        for count in (1, 100, 101, 200):
            session.outputs(np.zeros((count, 3, 4, 4), np.float32))
    assert limits == [0.5, 0.5, 0.5, 1.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("place", "ask", "doing"),
    [
        ("open", lambda context, file: context.judged(file, "hanging", images(), 4), "opening"),
        ("open", lambda context, file: context.latencies_ms([file], "hanging"), "opening"),
        ("time", lambda context, file: context.latencies_ms([file], "hanging"), "timing 10 inferences of"),
    ],
)
def test_what_hangs_while_it_is_opened_or_timed_is_told(
    tmp_path: Path, file: Callable[[str], Path], place: str, ask: Callable[[Context, Path], Any], doing: str
) -> None:
    broken = file(place)
    with pytest.raises(HqpError, match=rf"^{doing} {broken} on hanging took longer than 0\.5 s; "):
        ask(Context(Store(tmp_path / "store")), broken)
    assert broken not in Hanging.closed


@pytest.mark.parametrize("place", ["open", "time"])
def test_a_tool_that_hangs_in_a_block_is_told(file: Callable[[str], Path], place: str) -> None:
    """A tool of its own process is timed from this one: no worker could be ended for it."""
    pair = worker.Pair("hanging", str(file("nowhere")), str(file(place)), keeps_disturbed=True)
    with worker.launcher(pair)() as tool, pytest.raises(HqpError, match=r"a block of .* on hanging took longer than"):
        tool.block(True)


def test_an_answer_or_an_error_within_the_limit_is_passed_on() -> None:
    def late() -> None:
        raise TimeoutError("the board's own")

    assert limited.within(60, "adding", lambda: 1 + 1) == 2
    with pytest.raises(TimeoutError, match="the board's own"):
        limited.within(60, "asking", late)
    with pytest.raises(SystemExit):
        limited.within(60, "leaving", lambda: exit(3))


def test_a_session_that_answers_is_closed(file: Callable[[str], Path]) -> None:
    sound = file("nowhere")
    with Limited(Hanging(sound, DEVICE)) as session:
        assert session.time(3) == [1.0] * 3
        with pytest.raises(AttributeError):
            session.outputs("no images")  # type: ignore[arg-type]
    assert Hanging.closed.count(sound) == 1


@pytest.mark.parametrize("given", ["0", "-3", "soon", "nan", "inf"])
def test_a_limit_that_is_no_time_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(limited.VARIABLE, given)
    with pytest.raises(HqpError, match=f"HQP_LIMIT_S is {given}; seconds above 0; try: HQP_LIMIT_S=300"):
        limited.limit_s()


def test_the_other_cases_of_a_suite_are_kept(
    tmp_path: Path, file: Callable[[str], Path], make_measurement: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = Suite(("resnet18",), "signs", ("cpu_onnxruntime",), ("fp32", "q8"), (Gate("size", max_ratio=0.9),))
    context, stored = Context(Store(tmp_path / "store")), Stored("mine", tmp_path, str(tmp_path))
    run = SuiteRun("Is it small?", suite, context, stored, "hqp baseline update")
    sound, broken = run.cases

    def measure(self: SuiteRun, case: Case) -> Measurement:
        if case == broken:
            self.context.judged(file("outputs"), "hanging", images(), 4)
        return make_measurement(case=case)

    monkeypatch.setattr(SuiteRun, "_measure", measure)
    (bound,) = run.bounds
    for _ in range(2):
        with pytest.raises(HqpError, match="took longer than"):
            run.judge(broken, bound)
    run.show(sound)
    made = run.results()
    assert [measured.case for measured in made.measurements] == [sound]
    assert made.judgements == ()
    assert run.unmeasured()[0] == (broken,)
