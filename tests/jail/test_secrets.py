"""What a process of each kind sees of its user's secrets, once its jail has closed: nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.sandbox.compile import nvrtc, triton_compile
from warpsmith.sandbox.compile.jail import CompileLimits
from warpsmith.sandbox.compile.toolchain import find_toolchain
from warpsmith.sandbox.emulator import jailed
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.wire import Packet
from warpsmith.sandbox.jail.worker import Limits, Program, Worker

from .conftest import Left
from .levels import here

SECRET = "planted-" + "secret"
SNOOP = """
import importlib.util, os, sys

path = {path!r}
sys.path.insert(0, os.path.dirname(path))
spec = importlib.util.spec_from_file_location("real", path)
real = importlib.util.module_from_spec(spec)
spec.loader.exec_module(real)
prepare = real.prepare


def work(request, blobs):
    found = dict(os.environ.items())
    for place in request["places"]:
        try:
            with open(place, "rb") as file:
                found[place] = file.read(1 << 20).decode("utf-8", "replace")
        except OSError as error:
            found[place] = type(error).__name__
    return {{"found": found}}, []
"""


def _triton() -> Program:
    return triton_compile._Compilation(triton_compile.TritonUnit("", ()), "sm_90", CompileLimits(), None)._triton()


def _assembler() -> Program:
    return triton_compile._Compilation(triton_compile.TritonUnit("", ()), "sm_90", CompileLimits(), None)._assembler()


KINDS: dict[str, Callable[[], Program]] = {
    "NVRTC": lambda: nvrtc.program(find_toolchain()),
    "Triton": _triton,
    "the assembler": _assembler,
    "the emulator": jailed._program,
}


@pytest.mark.parametrize("level", Level)
@pytest.mark.parametrize("kind", KINDS)
def test_no_key_of_environment_or_home_reaches_a_process(
    kind: str, level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: Left
) -> None:
    home = tmp_path / "home"
    (home / ".config").mkdir(parents=True)
    for name in (".netrc", ".config/keys", ".env"):
        (home / name).write_text(SECRET)
    monkeypatch.setenv("HOME", str(home))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "HF_TOKEN", "SOME_PASSWORD"):
        monkeypatch.setenv(name, SECRET)
    real = KINDS[kind]()
    child = tmp_path / "program" / "snoop.py"
    child.parent.mkdir()
    child.write_text(SNOOP.format(path=str(real.path)))
    # Its place is readable, as every program's is; the home beside it is not.
    snoop = replace(real, path=child, loads=(*real.loads, str(real.path.parent)))
    worker = Worker(snoop, Limits(seconds=60, memory_bytes=8 << 30), here(level))
    worker.start()
    worker.ready()
    places = [str(home / name) for name in (".netrc", ".config/keys", ".env")]
    places += [
        f"/proc/{os.getpid()}/environ",
        f"/proc/{os.getppid()}/environ",
        "/etc/shadow",
        str(Path("~root", ".bash_history").expanduser()),
    ]
    answer = worker.ask({"places": [*places, "/proc/self/environ"]})
    worker.close()
    assert isinstance(answer, Packet), answer
    found = answer.message["found"]
    seen = [name for name, text in found.items() if SECRET in text]
    # At the lowest level files are open to it, as `docs/security.md` says; the environment is not in its own.
    assert not [name for name in seen if level is not Level.RLIMITS or name not in places]
    assert "API_KEY" not in " ".join(found)
    assert not left()
