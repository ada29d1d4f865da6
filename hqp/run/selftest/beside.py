"""False alarms and misses of the gate, beside those of other harnesses on the same samples, as one table."""

from __future__ import annotations

from hqp.run.selftest.summary import Rival, Summary

# What was tried: so many busy processes beside it, and a slow-down in percent.
Tried = tuple[int, float]


def rows(summary: Summary) -> list[list[str]]:
    """The table with its headers: a column for each slow-down, a row for the gate, two for each other rule.

    A rule has two, since other harnesses compare with a run that was stored, where the gate reruns: beside the other
    arm of the same trial, and beside the trial before.
    """
    tried = [(row.busy, row.slower_percent) for row in summary.rows]
    gate = f"HQP, margin {summary.margin:g}"
    table = [["", *map(_header, tried)]]
    table.append([gate, *(_told(row.slower_percent, row.failed, row.trials) for row in summary.rows)])
    table.append([f"{gate}: inconclusive", *(f"{row.inconclusive} of {row.trials}" for row in summary.rows)])
    by_rule: dict[str, dict[Tried, Rival]] = {}
    for rival in summary.rivals:
        by_rule.setdefault(rival.rule, {})[rival.busy, rival.slower_percent] = rival
    for rule, rivals in by_rule.items():
        judged = [rivals[each] for each in tried]
        arms = [_told(rival.slower_percent, rival.alarms, rival.trials) for rival in judged]
        before = [_told(rival.slower_percent, rival.alarms_before, rival.compared_before) for rival in judged]
        table += [[f"{rule}: beside the other arm", *arms], [f"{rule}: beside the run before", *before]]
    return table


def _header(tried: Tried) -> str:
    busy, percent = tried
    beside = f", {busy} busy" if busy else ""
    return f"{percent:g}% slower{beside}: missed" if percent else f"the same file{beside}: false alarms"


def _told(percent: float, alarms: int, trials: int) -> str:
    """How often a rule was wrong: an alarm on the same file, none on a slower one."""
    return f"{trials - alarms if percent else alarms} of {trials}"
