"""Standard output and error, which the user's code may break and whose reader may go away."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from search.files import streams

OUTLASTS = """
import os, sys
from search.files.streams import outlast
outlast()
for number in range(3):
    print("line", number)
    {between}
print("done", file=sys.stderr)
"""


def ran(between: str, reader: str) -> subprocess.CompletedProcess[str]:
    """A process that prints while `reader` reads it."""
    program = f"{sys.executable} -u -c '{OUTLASTS.format(between=between)}' | {reader}; exit ${{PIPESTATUS[0]}}"
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False)


def test_a_reader_that_leaves_ends_nothing_and_is_said_once() -> None:
    gone = ran('sys.stdin.read() if number else __import__("time").sleep(0.3)', "head -n 1")
    assert (gone.returncode, gone.stdout) == (0, "line 0\n")
    assert gone.stderr == "search: the reader of what is printed is gone; the training goes on\ndone\n"


def test_a_redirected_descriptor_is_no_business_of_ours() -> None:
    sent = ran("os.dup2(os.open(os.devnull, os.O_WRONLY), 1)", "cat")
    assert sent.stdout == "line 0\nline 1\nline 2\n"


def test_streams_that_another_program_has_put_there_stay(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    streams.outlast()
    assert (sys.stdout, sys.stderr) == before


def test_code_that_replaces_its_stream_finds_it_again_and_ours_is_as_it_was(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    before = sys.stdout, sys.stderr
    with streams.theirs():
        streams.give()
    with streams.theirs():
        print("to us")
        sys.stdout = (tmp_path / "log").open("w")
        print("to the log")
        with streams.theirs():  # a callback of the space file, for one
            print("to the log, too")
    assert (sys.stdout, sys.stderr) == before
    print("ours")
    with streams.theirs():
        print("to the log again")
        sys.stdout.close()
    streams.give()
    with streams.theirs():
        print("to us again")
    streams.give()
    assert (tmp_path / "log").read_text() == "to the log\nto the log, too\nto the log again\n"
    assert capsys.readouterr().out == "to us\nours\nto us again\n"


def test_a_closed_stream_is_closed_for_the_code_alone(capsys: pytest.CaptureFixture[str]) -> None:
    streams.give()
    with streams.theirs():
        theirs = sys.stdout
        theirs.close()
        theirs.close()
        assert theirs.closed
        with pytest.raises(ValueError, match="closed file"):
            print("lost")
        print("an error", file=sys.stderr)
    print("ours")
    streams.give(streams.kept())
    with streams.theirs():
        print("theirs")
    streams.give()
    assert capsys.readouterr() == ("ours\ntheirs\n", "an error\n")


def test_its_descriptor_is_the_process_own(capfd: pytest.CaptureFixture[str]) -> None:
    streams.give()
    with streams.theirs():
        subprocess.run(["echo", "from a child"], stdout=sys.stdout, check=True)
        numbers = sys.stdout.fileno(), sys.stderr.fileno()
    streams.give()
    assert numbers == (1, 2)
    assert capfd.readouterr().out == "from a child\n"
