"""Standard output and error are there, whatever the shell did to them."""

from __future__ import annotations

import subprocess
import sys

import pytest

WRITE = "from hqp.cli import streams; streams.prepare(); streams.write({text!r} * {times})"


def shell(redirection: str, text: str, times: int = 1) -> subprocess.CompletedProcess[str]:
    code = WRITE.format(text=text, times=times)
    return subprocess.run(
        ["bash", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, code], capture_output=True, text=True
    )


def test_a_closed_output_leads_nowhere() -> None:
    done = shell(">&-", "lost\n")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_a_reader_that_left_is_no_error() -> None:
    done = shell("| true; exit ${PIPESTATUS[0]}", "long\n", times=100_000)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/dev/full is Linux's")
def test_on_a_full_disk_the_answer_is_shown_on_standard_error_and_the_file_is_named() -> None:
    done = shell("> /dev/full", "an answer of minutes\n")
    assert done.returncode != 0
    assert done.stderr.startswith("an answer of minutes\n") and "'standard output'" in done.stderr
