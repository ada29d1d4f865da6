from __future__ import annotations

import os
import sys

import pytest

from hqp import transport
from hqp.errors import HqpError


def python(program: str, timeout_s: float | None = None) -> transport.Completed:
    return transport.run((sys.executable, "-c", program), timeout_s=timeout_s)


def test_both_streams_come_back_apart() -> None:
    done = python("import sys; print('out'); print('err', file=sys.stderr)")
    assert (done.stdout, done.stderr) == ("out\n", "err\n")
    assert done.seconds > 0


def test_no_shell_reads_the_words() -> None:
    done = transport.run((sys.executable, "-c", "import sys; print(sys.argv[1])", "$HOME; echo `id` > x | y"))
    assert done.stdout == "$HOME; echo `id` > x | y\n"


def test_standard_input_is_empty() -> None:
    readable, writable = os.pipe()
    os.write(writable, b"meant for somebody else")
    os.close(writable)
    kept = os.dup(0)
    os.dup2(readable, 0)
    try:
        assert python("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"
    finally:
        os.dup2(kept, 0)
        os.close(kept)
        os.close(readable)


def test_a_failure_tells_its_code_and_the_last_line() -> None:
    with pytest.raises(HqpError, match=r"exit code 3: the reason$"):
        python("import sys; print('noise\\nthe reason\\n', file=sys.stderr); sys.exit(3)")
    with pytest.raises(HqpError, match=r"exit code 1: it wrote nothing$"):
        python("raise SystemExit(1)")


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
def test_a_killed_command_names_the_signal() -> None:
    with pytest.raises(HqpError, match="killed by signal 9"):
        python("import os; os.kill(os.getpid(), 9)")


def test_a_missing_program_and_a_time_limit_are_told() -> None:
    with pytest.raises(HqpError, match="no program 'no-such-program'"):
        transport.run(("no-such-program",))
    with pytest.raises(HqpError, match=r"longer than 0\.05 s"):
        python("import threading; threading.Event().wait()", timeout_s=0.05)
