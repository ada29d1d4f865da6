"""``hqp selftest``: how often the gate on slow-downs is wrong on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from hqp.cli.application import Json, Names, answer, app, table

NO_TRIAL = "no trial was made with this margin in this environment"
COLUMNS = ("slower", "measured", "busy", "trials", "fail", "inconclusive", "pass", "fail % (95%)", "s a trial, longest")


@app.command(epilog="Example: hqp selftest --device cpu_onnxruntime --runs 5 --minutes 30")
def selftest(
    artefact: Annotated[
        Path | None, typer.Argument(help="An artefact directory, by default a small network made here.")
    ] = None,
    device: Annotated[
        str, typer.Option(help="The device to measure on.", autocompletion=Names("devices"))
    ] = "cpu_onnxruntime",
    margin: Annotated[float, typer.Option(help="The gate's margin, a share of the time.")] = 0.02,
    percent: Annotated[
        list[float] | None, typer.Option(help="A slow-down to try; 0 is the same file. Default: 0 1 2 5 10 20.")
    ] = None,
    runs: Annotated[int, typer.Option(min=0, help="Trials of each slow-down; 0 only adds up what there is.")] = 1,
    minutes: Annotated[float, typer.Option(min=0, help="Begin no trial after so many minutes; 0 is no limit.")] = 0,
    rounds: Annotated[int, typer.Option(min=10, max=10_000, help="The most blocks of a trial.")] = 40,
    busy: Annotated[int, typer.Option(min=0, help="Processes that each use a core meanwhile.")] = 0,
    keep_disturbed: Annotated[
        bool, typer.Option("--keep-disturbed", help="Let blocks count in which other processes disturbed.")
    ] = False,
    form: Annotated[
        Literal["table", "markdown"],
        typer.Option(
            "--format", help="All of it, or a page's table of false alarms and misses beside other harnesses."
        ),
    ] = "table",
    json: Json = False,
) -> int:
    """Try the gate on slow-downs on itself."""

    def make() -> Any:
        from hqp.run.selftest.running import Asked, selftest

        # Of the usual ones, those that cannot be made here are left out; those that are named must be made.
        percents = tuple(percent) if percent else None
        return selftest(Asked(device, margin, percents, runs, minutes, rounds, busy, keep_disturbed), artefact)

    answer(make, json, _markdown if form == "markdown" else _text)
    return 0


def _text(summary: Any) -> str:
    """What the trials add up to, as two tables and what they mean."""
    if not summary.rows:
        return "\n".join([NO_TRIAL, *_left_out(summary)])
    rows = [
        (
            f"{row.slower_percent:g}%",
            f"{row.measured_percent:g}%",
            str(row.busy),
            str(row.trials),
            str(row.failed),
            str(row.inconclusive),
            str(row.passed),
            f"{row.failed_percent.value:.1f} ({row.failed_percent.lower:.1f} to {row.failed_percent.upper:.1f})",
            f"{row.seconds:g}, {row.longest_seconds:g}",
        )
        for row in summary.rows
    ]
    lines = [f"latency_regression, margin {summary.margin:g}, on {summary.device} ({summary.environment})"]
    lines += ["of 0% a fail is a false alarm, of others a slow-down that was found", "", table([COLUMNS, *rows]), ""]
    found = summary.found_from_percent
    lines.append(f"found in four of five runs at least: {'none yet' if found is None else f'{found:g}% and more'}")
    if summary.detectable_percent is not None:
        lines.append(f"by the scatter of processes, detectable from: {summary.detectable_percent:g}%")
    rivals = [
        (
            rival.rule,
            f"{rival.slower_percent:g}%",
            str(rival.busy),
            f"{rival.alarms} of {rival.trials}",
            f"{rival.alarms_before} of {rival.compared_before}",
        )
        for rival in summary.rivals
    ]
    headers = ("alarms of other rules", "slower", "busy", "beside the other arm", "beside the run before")
    return "\n".join([*lines, *_left_out(summary), "", table([headers, *rivals])])


def _markdown(summary: Any) -> str:
    """False alarms and misses beside other harnesses, as a table for a page."""
    from tabulate import tabulate

    from hqp.run.selftest import beside

    if not summary.rows:
        return "\n".join([NO_TRIAL, *_left_out(summary)])
    headers, *rows = beside.rows(summary)
    made = (
        f"`latency_regression`, margin {summary.margin:g}, on `{summary.device}`, environment `{summary.environment}`"
    )
    shown = tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)
    return "\n\n".join([made, shown, *_left_out(summary)])


def _left_out(summary: Any) -> list[str]:
    return [
        f"left out: {left.slower_percent:g}% slower; the nearest that a layer makes here is {left.nearest_percent:g}%"
        for left in summary.left_out
    ]
