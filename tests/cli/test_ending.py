"""How a command line ends: whatever happens has its exit code and one line, and no reader's absence loses a run."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import hqp
from hqp import cli, documents
from hqp.run import doctor, listing

STOPPED = "hqp: stopped; finished steps are kept, the same command goes on where it stopped\n"


def shell(folder: Path, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell makes of a command, in which ``hqp`` is this one."""
    python = f'"{sys.executable}" -m hqp'
    return subprocess.run(
        ["bash", "-c", command.replace("hqp", python, 1)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(hqp.__file__).parents[1]), **environment},
        capture_output=True,
        encoding=environment.get("PYTHONIOENCODING", "utf-8"),
        stdin=subprocess.DEVNULL,
    )


def raises(error: BaseException) -> object:
    def fail(*arguments: object) -> None:
        raise error

    return fail


def test_nothing_but_python_s_own_is_imported_before_main_meets_an_interrupt() -> None:
    program = "import sys; before = set(sys.modules); import hqp.cli; print(sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "['__future__', 'hqp', 'hqp.cli']\n"


def test_an_interrupt_while_hqp_is_imported_is_told_in_one_line() -> None:
    program = """
import sys

class Interrupted:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name == "hqp.cli.ending":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Interrupted)
from hqp.cli import main
sys.exit(main(["doctor"]))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", STOPPED)


def test_sigterm_says_what_an_interrupt_says(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(doctor, "doctor", lambda: os.kill(os.getpid(), signal.SIGTERM))
    assert cli.main(["doctor"]) == 143
    assert capsys.readouterr() == ("", STOPPED)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_crash_has_its_own_exit_code_and_a_file_with_the_details(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "doctor", raises(KeyError("a key\nof two lines")))
    assert cli.main(["doctor", "--json"]) == 70
    out, err = capsys.readouterr()
    found = re.fullmatch(
        r"hqp: internal error: KeyError: 'a key\\nof two lines'; this is a fault of HQP, please report it; "
        r"details: in (\.hqp/crash-\d{8}-\d{6}-\d+\.txt)\n",
        err,
    )
    assert out == "" and found
    details = Path(found[1]).read_text()
    assert details.startswith(f"hqp {hqp.__version__}, Python ") and "Traceback (most recent call last)" in details
    assert details.endswith("KeyError: 'a key\\nof two lines'\n")


def test_details_that_cannot_be_written_stand_on_standard_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(".hqp").write_text("a file where the folder would be")
    monkeypatch.setattr(doctor, "doctor", raises(RuntimeError("boom")))
    assert cli.main(["doctor"]) == 70
    err = capsys.readouterr().err.splitlines()
    assert "Traceback (most recent call last):" in err
    last = "hqp: internal error: RuntimeError: boom; this is a fault of HQP, please report it; details: above"
    assert err[-1] == last


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device", "out/a"), "out/a: No space left on device"),
        (OSError(28, "No space left on device", "from", None, "to"), "to: No space left on device"),
        (OSError("no reason"), "the system: no reason"),
        (MemoryError("Unable to allocate 25 GiB"), "out of memory: Unable to allocate 25 GiB; more memory, or smaller"),
    ],
)
def test_what_the_system_refuses_is_a_mistake(
    error: Exception, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(doctor, "doctor", raises(error))
    assert cli.main(["doctor"]) == 2
    assert capsys.readouterr().err.startswith(f"hqp: error: {said}")


@pytest.mark.parametrize("command", ["hqp list", "hqp list --json"])
def test_a_reader_that_left_is_no_error(command: str, tmp_path: Path) -> None:
    done = shell(tmp_path, f"{command} | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("0\n", "")


def test_help_that_nobody_reads_ends_as_a_shell_counts_it(tmp_path: Path) -> None:
    done = shell(tmp_path, "hqp --help | true; echo ${PIPESTATUS[0]}")
    assert done.stdout in ("141\n", "0\n") and done.stderr == ""


def test_closed_streams_lead_nowhere(tmp_path: Path) -> None:
    done = shell(tmp_path, "hqp list models >&- 2>&-; echo $?")
    assert (done.stdout, done.stderr) == ("0\n", "")
    done = shell(tmp_path, "hqp list nothing --json 2>&-; echo $?")
    assert (done.stdout, done.stderr) == ("2\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_an_output_that_is_full_is_named_and_what_was_made_is_shown(tmp_path: Path) -> None:
    done = shell(tmp_path, "hqp list gates >/dev/full")
    assert done.returncode == 2 and done.stderr.startswith("gates  accuracy_drop")
    assert done.stderr.splitlines()[-1] == "hqp: error: standard output: No space left on device"


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1", "ascii"])
def test_an_encoding_that_lacks_signs_gets_them_spelt_out(
    encoding: str, tmp_path: Path, make_measurement: Any, make_results: Any
) -> None:
    documents.write(tmp_path / "results.json", make_results(make_measurement(), question="Is θ above 40%?"))
    done = shell(tmp_path, "hqp report results.json", PYTHONIOENCODING=encoding)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Is theta above 40%?" in done.stdout
    done = shell(tmp_path, "hqp compress --help", PYTHONIOENCODING="cp1252")
    assert (done.returncode, done.stderr) == (0, "")
    assert "delta max: points of top-1 that may go" in " ".join(done.stdout.split())


def test_json_is_the_same_document_in_every_encoding(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(listing, "listing", lambda kind: (listing.Plugin("models", "θ – 😀", 'a "sign"'),))
    assert cli.main(["list", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.isascii() and json.loads(out)[0]["name"] == "θ – 😀" and json.loads(out)[0]["summary"] == 'a "sign"'
