"""The OpenSSH client against an OpenSSH server of this user."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hqp import transport
from hqp.errors import HqpError
from hqp.transport import CommandFailed, Ssh, Unreachable


@pytest.fixture(scope="module")
def connected(standing_board) -> Ssh:
    return Ssh(standing_board.name, pauses_s=(0, 0))


@pytest.fixture
def ssh(board, connected: Ssh) -> Ssh:
    """A connection that stands, to a board that is new."""
    return connected


def test_words_arrive_as_they_were_given(ssh: Ssh) -> None:
    words = ("printf", "%s\\n", "two words", "$HOME", "`id`", "a'b\"c", "x;y|z>w", "--", "*", "ü\n2")
    assert ssh.run(words).stdout == "two words\n$HOME\n`id`\na'b\"c\nx;y|z>w\n--\n*\nü\n2\n"


def test_a_command_has_nothing_to_read(ssh: Ssh) -> None:
    assert ssh.run(("cat",)).stdout == ""


def test_what_a_failed_command_wrote_is_kept(ssh: Ssh) -> None:
    with pytest.raises(CommandFailed, match=r"^'sh' failed with exit code 3 on simulated-board: bad$") as caught:
        ssh.run(("sh", "-c", "echo good; echo bad >&2; exit 3"))
    assert (caught.value.code, caught.value.stdout, caught.value.stderr) == (3, "good\n", "bad\n")


def test_a_program_that_is_not_there(ssh: Ssh) -> None:
    with pytest.raises(HqpError, match="there is no program 'no-such-program' to run on simulated-board"):
        ssh.run(("no-such-program",))


def test_a_command_that_hangs_is_ended_there_too(ssh: Ssh, board) -> None:
    with pytest.raises(HqpError, match=r"^'sleep' took longer than 0.1 s on simulated-board"):
        ssh.run(("sleep", "60"), timeout_s=0.1)
    assert board.commands()[-1] == "timeout 0.1 sleep 60"


def test_files_go_there_and_come_back_byte_for_byte(ssh: Ssh, tmp_path: Path) -> None:
    sent, back = tmp_path / "sent", tmp_path / "back"
    sent.write_bytes(os.urandom(200_000))
    ssh.send(sent, "/tmp/a file")
    ssh.fetch("/tmp/a file", back)
    assert back.read_bytes() == sent.read_bytes()


def test_a_file_that_is_not_there_is_not_half_here(ssh: Ssh, tmp_path: Path) -> None:
    with pytest.raises(CommandFailed):
        ssh.fetch("/tmp/none", tmp_path / "back")
    assert not list(tmp_path.glob("back*"))


def test_texts_are_read(ssh: Ssh, board) -> None:
    board.write("/proc/device-tree/model", "NVIDIA Jetson Nano Developer Kit\0")
    assert ssh.read("/proc/device-tree/model") == "NVIDIA Jetson Nano Developer Kit\0"
    with pytest.raises(HqpError, match=r"^/etc/none cannot be read on simulated-board: cat: .*No such file"):
        ssh.read("/etc/none")


def test_a_full_disk_is_said(ssh: Ssh, board, tmp_path: Path) -> None:
    board.fail("disk-full")
    (tmp_path / "file").write_bytes(b"0" * 100_000)
    with pytest.raises(CommandFailed, match="No space left on device"):
        ssh.send(tmp_path / "file", "/tmp/file")


def test_a_connection_that_breaks_once_is_taken_up_again(ssh: Ssh, board) -> None:
    assert ssh.run(("echo", "1")).stdout == "1\n"
    board.fail("dropped-once")
    assert ssh.run(("echo", "2")).stdout == "2\n"
    assert board.commands()[-3:] == ["echo 1", "echo 2", "echo 2"]


def test_a_connection_that_stays_broken_is_given_up(ssh: Ssh, board) -> None:
    assert ssh.run(("echo", "1")).stdout == "1\n"
    board.fail("dropped")
    with pytest.raises(Unreachable, match=r"^the connection to simulated-board broke: .*; .*what was made is kept"):
        ssh.run(("echo", "2"))
    assert board.commands()[-3:] == ["echo 2"] * 3


def test_another_host_key_than_the_known_one_is_refused(board) -> None:
    board.be_known_by("other_key")
    said = r"its host key is another than the one you know; .*; try: ssh-keygen -R simulated-board$"
    with pytest.raises(Unreachable, match=said):
        Ssh(board.name).run(("true",))
    assert board.commands() == []


@pytest.mark.parametrize(
    ("destination", "said"),
    [
        ("unknown-key", "unknown-key cannot be reached: its host key is not known here; .*; try: ssh unknown-key$"),
        ("no-key", "no-key cannot be reached: it lets no key of yours in; .*; try: ssh-copy-id no-key$"),
        ("silent", "the connection to silent broke: "),
        ("a@no-such-host.invalid", "there is no host of that name; .*; try: ssh a@no-such-host.invalid$"),
    ],
)
def test_no_way_to_the_host(board, destination: str, said: str) -> None:
    with pytest.raises(Unreachable, match=said):
        Ssh(destination).run(("true",))


@pytest.mark.parametrize("destination", ["", "-oProxyCommand=id", "a b", " "])
def test_what_is_no_destination(destination: str) -> None:
    with pytest.raises(HqpError, match="is no host"):
        Ssh(destination)


def test_a_device_that_names_a_host_is_on_it(board) -> None:
    assert transport.host(board.name).run(("echo", "there")).stdout == "there\n"
    assert transport.host("") is transport.HERE


def test_nothing_of_the_connection_is_left_behind(board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    there = Ssh(board.name)
    there.run(("true",))
    (sockets,) = tmp_path.iterdir()
    assert (sockets / "s").is_socket()
    del there
    assert list(tmp_path.iterdir()) == []
