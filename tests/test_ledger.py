"""A ledger adds up by step, and an entry of the store keeps what it took when it was made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from hqp.ledger import Ledger
from hqp.records import Cost
from hqp.store import Entry, Store

KEY = {"model": "tiny"}


@dataclass(frozen=True)
class Answer:
    """A record of the store."""

    value: int


def test_the_costs_of_a_step_are_added_up_in_the_order_of_the_steps() -> None:
    ledger = Ledger()
    ledger.add(Cost("b", 3, 1, 0.25), Cost("a", 1, 1, 1.0))
    ledger.add(Cost("b", 4, 2, 0.0004))
    assert ledger.costs == (Cost("b", 7, 3, 0.25), Cost("a", 1, 1, 1.0))


def test_a_step_is_timed_while_it_lasts_unless_it_knows_better(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((10.0, 12.5, 20.0, 21.0))
    monkeypatch.setattr("hqp.ledger.time.perf_counter", lambda: next(clock))
    ledger = Ledger()
    with ledger.step("validation") as tally:
        tally.images += 32
        tally.passes += 1
    with ledger.step("training") as tally:
        tally.seconds = 7.1234
    assert ledger.costs == (Cost("validation", 32, 1, 2.5), Cost("training", 0, 0, 7.123))


def test_a_step_that_fails_is_not_entered() -> None:
    ledger = Ledger()
    with pytest.raises(KeyError), ledger.step("validation"):
        raise KeyError
    assert ledger.costs == ()


def test_the_store_says_what_an_entry_took_when_it_is_made_and_when_it_is_found(tmp_path: Path) -> None:
    def build(folder: Path, ledger: Ledger) -> None:
        (folder / "file").write_text("whole")
        ledger.add(Cost("sensitivity", 100, 1, 2.0))

    def refuse(folder: Path, ledger: Ledger) -> None:
        raise AssertionError("it is there already")

    made = Store(tmp_path).costed("things", KEY, build)
    assert made == Entry(Store(tmp_path).path("things", KEY), (Cost("sensitivity", 100, 1, 2.0),))
    assert Store(tmp_path).costed("things", KEY, refuse) == made


def test_the_store_says_what_a_record_took(tmp_path: Path) -> None:
    def compute(ledger: Ledger) -> Answer:
        ledger.add(Cost("calibration", 8, 2, 0.5))
        return Answer(42)

    def refuse(ledger: Ledger) -> Answer:
        raise AssertionError("it is there already")

    for work in (compute, refuse):
        answer, entry = Store(tmp_path).costed_record("answers", KEY, Answer, work)
        assert (answer, entry.costs) == (Answer(42), (Cost("calibration", 8, 2, 0.5),))


def test_a_damaged_cost_is_made_anew(tmp_path: Path) -> None:
    def build(folder: Path, ledger: Ledger) -> None:
        ledger.add(Cost("sensitivity", 100, 1, 2.0))

    entry = Store(tmp_path).costed("things", KEY, build)
    place = entry.folder
    (place / "costs.json").write_text((place / "costs.json").read_text().replace("2.0", "1.0"))
    said: list[str] = []
    assert Store(tmp_path, said.append).costed("things", KEY, build) == entry
    assert said == [f"{place} is damaged (costs.json is not as it was written); it is made anew"]
