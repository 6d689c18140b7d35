"""What a newcomer meets: no key, a wrong one, a model or server that is not there. One clear message each."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.without_torch import needs_torch
from warpsmith.cli.program import run
from warpsmith.settings import hidden_keys, read_provider

from .loopback import KEY, Loopback, say, serve, status

TASK = str(Path(__file__).parents[1] / "emulated" / "tiny" / "row_sums.py")
Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WARPSMITH_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("WARPSMITH_LIBRARY", str(tmp_path / "library"))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    with serve(status(404)) as loopback:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{loopback.url}/v1")
        yield loopback


def refused(capsys: Captured, *arguments: str) -> tuple[int, str]:
    """Exit code, and the message with its remedy; stdout holds one JSON object."""
    code = run(["optimize", TASK, "--json", *arguments])
    error = json.loads(capsys.readouterr().out)["error"]
    return code, f"{error['message']} {error['remedy']}"


@pytest.mark.parametrize(("model", "variable"), [("openai:m", "OPENAI_API_KEY"), ("anthropic:m", "ANTHROPIC_API_KEY")])
def test_without_a_key_its_variable_and_builtin_are_named(capsys: Captured, model: str, variable: str) -> None:
    code, message = refused(capsys, "--coder", model)
    assert 2 == code
    assert variable in message
    assert "--coder builtin" in message


@pytest.mark.parametrize("model", ["gpt", "openai:", "gemini:m", "openai:m@ftp://h", "openai:m@http://u:p@h/v1"])
def test_what_is_no_model_is_refused(capsys: Captured, model: str) -> None:
    assert 2 == refused(capsys, "--coder", model)[0]


def test_a_wrong_key_is_found_out_before_the_run(
    capsys: Captured, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-one")
    code, message = refused(capsys, "--coder", "openai:m")
    assert (3, True, False) == (code, "OPENAI_API_KEY was refused" in message, "sk-wrong" in message)
    assert [] == server.asked


def test_an_unknown_model_is_named(capsys: Captured, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    code, message = refused(capsys, "--coder", "openai:nonesuch")
    assert 3 == code
    assert "openai:nonesuch: there is no such model" in message


def test_a_server_that_refuses_is_named_with_its_address(capsys: Captured) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        code, message = refused(capsys, "--coder", f"openai:m@{url}")
    assert 3 == code
    assert f"cannot be reached at {url}" in message


def test_a_limit_in_dollars_is_refused_where_the_price_is_unknown(
    capsys: Captured, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    code, message = refused(capsys, "--coder", "openai:m", "--max-dollars", "1")
    assert 2 == code
    assert "--max-tokens" in message
    assert 2 == refused(capsys, "--max-dollars", "nan")[0]


@needs_torch
@pytest.mark.full
def test_ctrl_c_while_somebody_is_asked_leaves_a_run_that_resumes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "warpsmith", "optimize", TASK, "--coder", f"handoff:{tmp_path / 'desk'}"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    until = time.monotonic() + 60
    while not list(tmp_path.glob("desk/*/*.prompt.md")) and time.monotonic() < until:
        time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, said = child.communicate(timeout=30)
    assert (130, True) == (child.returncode, "Continue with: warpsmith resume" in said)
    assert "Traceback" not in said


def test_a_prompt_is_shown_with_its_tokens_and_price(capsys: Captured) -> None:
    assert 0 == run(["prompt", TASK, "--json", "--model", "anthropic:claude-sonnet-4-5"])
    shown = json.loads(capsys.readouterr().out)
    assert ("new", True, True) == (shown["stage"], 1000 < shown["tokens"] < 3000, 0 < shown["dollars"] < 1)
    assert 0 == run(["prompt", TASK, "--json", "--model", "openai:nobodys"])
    assert json.loads(capsys.readouterr().out)["dollars"] is None


def test_a_server_that_speaks_is_asked(capsys: Captured, server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    server.acts[:] = [say("no kernel")]
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    assert 1 == run(["optimize", TASK, "--coder", "openai:m", "--rounds", "1", "--json"])
    assert ("nothing verified", 3) == (json.loads(capsys.readouterr().out)["reason"], len(server.asked))


def test_children_of_a_run_see_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    show = [sys.executable, "-c", "import os; print(os.environ.get('OPENAI_API_KEY'))"]
    with hidden_keys():
        assert "None" == subprocess.check_output(show, text=True).strip()
        assert KEY == read_provider("openai").key
        assert KEY not in repr(read_provider("openai"))
    assert KEY == subprocess.check_output(show, text=True).strip()
