"""Programs that take over a compiler's process, at every level: what they reach, and what is left of them."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.outcome import CompileFailed
from warpsmith.sandbox.compile import compile_cuda
from warpsmith.sandbox.jail import scratch, worker
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.pool import Pool
from warpsmith.sandbox.jail.wire import Packet
from warpsmith.sandbox.jail.worker import Answer, Died, Limits, Program, TimedOut

from .conftest import Left
from .levels import here

CONFINED = (Level.BUBBLEWRAP, Level.LANDLOCK)
LIMITS = Limits(seconds=20, memory_bytes=1 << 30, output_bytes=1 << 20, file_bytes=1 << 20)

Attack = Callable[..., Answer]


@pytest.fixture
def attack(tmp_path: Path, request: pytest.FixtureRequest) -> Attack:
    """Run the body of a `work` function in the process of a jailed program; its answer is what it returns."""

    def run(body: str, level: Level, limits: Limits = LIMITS) -> Answer:
        path = tmp_path / "program.py"
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        tried = (
            "import ctypes, os, signal, socket, subprocess, threading, time\n\n\ndef prepare(setup):\n    pass\n\n\n"
        )
        tried += "def tried(act):\n    try:\n        return repr(act())\n    except BaseException as error:\n"
        tried += "        return f'{type(error).__name__} {getattr(error, \"errno\", None)}'\n\n\n"
        path.write_text(f"{tried}def work(message, blobs):\n{lines}\n")
        workers = Pool()
        worker = workers.take(Program.of(path, {}, scratch=True), limits, here(level))
        workers.close()
        try:
            return worker.ask({})
        finally:
            worker.close()

    return run


def said(answer: Answer) -> str:
    assert isinstance(answer, Packet), answer
    return str(answer.message["said"])


@pytest.mark.parametrize("level", CONFINED)
@pytest.mark.parametrize(
    "act",
    [
        "os.fork",
        "lambda: subprocess.run(['/bin/true'])",
        "lambda: os.execv('/bin/true', ['true'])",
        "lambda: socket.socket()",
        "lambda: ctypes.CDLL(None, use_errno=True).ptrace(16, os.getppid(), 0, 0)",
        "lambda: os.kill(os.getppid(), signal.SIGTERM)",
        "lambda: os.kill(-1, 0)",
        "lambda: os.listdir('/root')",
        "lambda: open('/etc/passwd').read()",
        "lambda: open('/proc/self/environ').read()",
        "lambda: open('/tmp/warpsmith-left-behind', 'w')",
        "lambda: open('/dev/shm/warpsmith-left-behind', 'w')",
        "lambda: ctypes.CDLL(None).unshare(0)",
    ],
)
def test_nothing_outside_is_reached(act: str, level: Level, attack: Attack, left: Left) -> None:
    found = said(attack(f"return {{'said': tried({act})}}, []", level))
    refused = ("PermissionError", "FileNotFoundError", "ProcessLookupError", "OSError")
    assert found.startswith(refused) or found == "-1", found
    assert not Path("/tmp/warpsmith-left-behind").exists()
    assert not left()


@pytest.mark.parametrize("level", CONFINED)
def test_no_server_of_this_machine_is_reached(level: Level, attack: Attack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        found = said(
            attack(f"return {{'said': tried(lambda: socket.create_connection(('127.0.0.1', {port})))}}, []", level)
        )
    assert "Error" in found


@pytest.mark.parametrize("level", Level)
def test_planted_secrets_are_not_seen(level: Level, attack: Attack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "planted-secret")
    monkeypatch.setenv("SOME_TOKEN", "planted-secret")
    answer = attack("return {'said': repr(sorted(os.environ.items())) + os.getcwd()}, []", level)
    assert "planted-secret" not in said(answer)
    assert said(answer).endswith("/")


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("x = bytearray(1 << 33)", "exit status 1"),
        ("os.abort()", "signal SIGABRT"),
        ("ctypes.string_at(8)", "signal SIGSEGV"),
        ("os._exit(0)", "exit status 0"),
        ("return {'said': 'x' * (10 << 20)}, []", "a header of"),
        ("return {}, [b'x' * (10 << 20)]", "a message of"),
    ],
)
def test_a_process_that_takes_too_much_or_breaks_is_a_fact(
    body: str, reason: str, level: Level, attack: Attack, left: Left
) -> None:
    answer = attack(body, level)
    assert isinstance(answer, Died)
    assert reason in answer.reason
    assert not left()


@pytest.mark.parametrize("level", Level)
def test_an_endless_process_is_ended_in_time(level: Level, attack: Attack, left: Left) -> None:
    begin = time.monotonic()
    answer = attack("while True:\n    pass", level, Limits(seconds=1, memory_bytes=1 << 30))
    assert isinstance(answer, TimedOut)
    assert time.monotonic() - begin < 15
    assert not left()


@pytest.mark.parametrize("level", Level)
def test_files_end_at_their_limit_and_go_with_the_process(level: Level, attack: Attack, left: Left) -> None:
    write = "open(os.environ['TMPDIR'] + '/x', 'wb').write(b'x' * (4 << 20))"
    assert said(attack(f"return {{'said': tried(lambda: {write})}}, []", level)).startswith("OSError")
    assert not left()


@pytest.mark.full
@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize(
    ("body", "ends"),
    [
        ("[tried(lambda: os.write(2, bytes(1 << 20))) for _ in range(10 << 10)]\nreturn {'said': 'done'}, []", Packet),
        ("[os.write(1, bytes(1 << 20)) for _ in range(10 << 10)]\nreturn {'said': 'done'}, []", Packet),
        ("while True:\n    [tried(lambda: os.write(handle, b'x' * (1 << 20))) for handle in range(3, 9)]", Died),
    ],
    ids=["errors", "words", "answers"],
)
def test_of_ten_gigabytes_of_output_no_more_is_kept_than_may_be(
    body: str, ends: type[Answer], level: Level, attack: Attack, left: Left
) -> None:
    kept = list[int]()
    tail = worker._tail

    def measured(handle: int) -> str:
        kept.append(os.fstat(handle).st_size)
        return tail(handle)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "_tail", measured)
        assert isinstance(attack(body, level), ends)
    assert max(kept) <= LIMITS.file_bytes
    assert not left()


@pytest.mark.parametrize("level", CONFINED)
def test_limits_cannot_be_raised_again(level: Level, attack: Attack) -> None:
    raised = "__import__('resource').setrlimit(__import__('resource').RLIMIT_AS, (-1, -1))"
    assert "Error" in said(attack(f"return {{'said': tried(lambda: {raised})}}, []", level))


@pytest.mark.parametrize(
    "spelled",
    [
        '#include "{path}"',
        "%:include <{path}>",
        "??=include <{path}>",
        "#inc\\\nlude <{path}>",
        "#define P <{path}>\n#include P",
    ],
)
def test_a_host_file_is_not_included_in_any_disguise(spelled: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.h"
    secret.write_text("planted words that nobody reads\n")
    text = f"{spelled.format(path=secret)}\n__global__ void k() {{}}\n"
    made = compile_cuda(TranslationUnit(text=text, preamble="", appendix="", names=("k",)), "sm_90a")
    assert isinstance(made, CompileFailed), made
    assert "planted words" not in json.dumps(made.model_dump(mode="json"))


def test_what_a_killed_owner_left_is_swept(tmp_path: Path) -> None:
    root = scratch.ScratchRoot(tmp_path)
    in_use = root.folder()
    abandoned = tmp_path / "warpsmith-jail-abandoned"
    abandoned.mkdir()
    (abandoned / ".lock").write_text("")
    (abandoned / "left").write_text("x")
    assert 1 == scratch.sweep(tmp_path)
    assert in_use.is_dir()
    assert not abandoned.exists()
    root.close()
    assert not in_use.exists()
