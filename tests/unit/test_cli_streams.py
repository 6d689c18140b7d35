"""What a command does where its output cannot be written, or nobody reads it: an exit code, never a traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from warpsmith.cli.program import run
from warpsmith.core.errors import SettingsError
from warpsmith.core.files import write_named

LIST = [sys.executable, "-m", "warpsmith", "tasks", "list"]
Captured = pytest.CaptureFixture[str]


def listed(*options: str, shell: str) -> subprocess.CompletedProcess[str]:
    words = ["bash", "-c", f'"$@" {shell}', "bash", *LIST, *options]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_under_standard_output_ends_with_3_and_one_line(options: tuple[str, ...]) -> None:
    done = listed(*options, shell="> /dev/full")
    assert 3 == done.returncode
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "No space left on device" in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr


def test_a_closed_standard_output_is_no_fault() -> None:
    assert (0, "") == ((done := listed(shell=">&-")).returncode, done.stderr)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_reader_that_has_gone_ends_with_141_which_is_no_verdict(options: tuple[str, ...]) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        done = subprocess.run([*LIST, *options], stdout=writes, stderr=subprocess.PIPE, check=False, timeout=60)
    finally:
        os.close(writes)
    assert (141, b"") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("number", "kind"), [(errno.ENOSPC, "MachineError"), (errno.EROFS, "MachineError"), (errno.ENOTTY, "Bug")]
)
def test_what_the_system_refuses_is_told_with_the_file(
    capsys: Captured, monkeypatch: pytest.MonkeyPatch, number: int, kind: str
) -> None:
    def refused() -> None:
        raise OSError(number, os.strerror(number), "/there")

    monkeypatch.setattr("warpsmith.tasks.find.find_tasks", refused)
    assert 3 == run(["tasks", "list", "--json"])
    out = capsys.readouterr().out
    assert f'"kind": "{kind}"' in out
    assert "/there" in out


WORKING = """
import atexit, sys, threading, time
import warpsmith.cli.program as program

def run(words):
    threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    atexit.register(print, "tidied up")
    print("code", words)
    return 130

program.run = run
atexit.register(print, "unwound")
from warpsmith.cli import main
main()
"""


def test_leaving_while_a_thread_works_tidies_up_and_unwinds_no_thread() -> None:
    done = subprocess.run([sys.executable, "-c", WORKING], capture_output=True, text=True, check=False, timeout=60)
    assert (130, "code []\ntidied up\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_file_that_does_not_fit_the_disk_ends_with_3_and_is_not_left_in_half(
    options: tuple[str, ...], tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "warpsmith", "tasks", "new", "mine", *options]
    limited = ["bash", "-c", 'ulimit -f 1; "$@"', "bash", *command]
    done = subprocess.run(limited, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert 3 == done.returncode
    assert "mine.py cannot be written or read: File too large." in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert [] == [*tmp_path.iterdir()]


def test_a_folder_where_a_file_should_be_written_ends_with_2(capsys: Captured, tmp_path: Path) -> None:
    (tmp_path / "in the way").touch()
    assert 2 == run(["tasks", "new", "mine", "--folder", str(tmp_path / "in the way")])
    assert "cannot be written" in capsys.readouterr().err
    with pytest.raises(SettingsError, match="Is a directory"):
        write_named(tmp_path, "text")
