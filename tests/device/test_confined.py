"""A GPU's worker in the jail, on an imagined driver: it serves, and what it gave up it does not get back."""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.core.errors import DeviceError, SettingsError
from warpsmith.sandbox.device import confined
from warpsmith.sandbox.device.confined import Confinement, device_nodes
from warpsmith.sandbox.device.messages import Surveyed
from warpsmith.sandbox.device.pool import survey, weaker_than
from warpsmith.sandbox.device.process import PROGRAM, WorkerCommand
from warpsmith.sandbox.jail import levels
from warpsmith.sandbox.jail.levels import Level
from warpsmith.settings import read_settings

from ..contracts.launchers import FAKE_WORKER, FakeGpus, call, closing, empty, ints, step, values
from ..jail.levels import here
from ..jail.processes import command as command_of
from ..jail.processes import descendants, wait_for


@pytest.fixture(scope="module", params=Level)
def gpus(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FakeGpus]:
    yield from closing(FakeGpus(tmp_path_factory.mktemp("gpus"), level=here(request.param)))


def test_it_serves_at_its_level_and_is_replaced_after_a_fault(gpus: FakeGpus) -> None:
    for _ in range(2):
        reply = call(gpus, step("copy", "x", "y", 3), inputs={"x": ints(1, 2, 3)}, outputs={"y": empty(3)})
        assert [1, 2, 3] == values(reply)
    assert "Crashed" == getattr(call(gpus, step("stop", "y"), outputs={"y": empty(32)}).failure, "kind", "")
    reply = call(gpus, step("copy", "x", "y", 1), inputs={"x": ints(9)}, outputs={"y": empty(1)})
    assert [9] == values(reply)
    assert gpus.level is gpus.pool.level


def test_nothing_of_it_is_left_once_it_is_closed(gpus: FakeGpus) -> None:
    with gpus.pool.lease():
        assert [child for child in descendants(os.getpid()) if "fake_worker" in command_of(child)]
    gpus.pool.close()
    assert wait_for(lambda: not [child for child in descendants(os.getpid()) if "fake_worker" in command_of(child)])


REACH = """
import os, socket, sys, json
sys.argv[1:1] = [{folder!r}, "1"]
sys.path[:0] = [{tests!r}]
from warpsmith.sandbox.device import worker

run = worker.Worker._run


def snooping(session, request, blobs):
    found = dict(os.environ)
    for what, act in {{
        "secret": lambda: open({secret!r}).read(),
        "shadow": lambda: open("/etc/shadow").read(),
        "parent": lambda: open("/proc/{pid}/environ").read(),
        "fork": os.fork,
        "socket": socket.socket,
        "signal": lambda: os.kill({pid}, 0),
        "file": lambda: open("/tmp/warpsmith-left-by-a-gpu-worker", "w"),
        "node": lambda: os.close(os.open({node!r}, os.O_RDWR)),
    }}.items():
        try:
            found[what] = f"reached {{act()}}"
        except OSError as error:
            found[what] = type(error).__name__
    sys.stderr.write(json.dumps(found))
    sys.stderr.flush()
    os._exit(7)


worker.Worker._run = staticmethod(snooping)
import runpy

runpy.run_path({worker!r}, run_name="__main__")
"""


@pytest.mark.parametrize("level", [Level.BUBBLEWRAP, Level.LANDLOCK])
def test_a_kernel_that_took_its_process_over_reaches_its_devices_and_nothing_else(
    level: Level, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "planted-secret")
    secret = tmp_path / "secret"
    secret.write_text("planted-secret")
    folder = tmp_path / "pairs"
    folder.mkdir()
    taken = folder / "taken_over.py"
    facts = {"folder": str(folder), "tests": str(FAKE_WORKER.parents[1]), "worker": str(FAKE_WORKER)}
    taken.write_text(REACH.format(**facts, secret=str(secret), pid=os.getpid(), node="/dev/zero"))
    made = FakeGpus(folder, level=here(level), worker=taken, devices=("/dev/zero",))
    with pytest.raises(DeviceError, match="exit status 7") as died:
        call(made, step("copy", "x", "y", 1), inputs={"x": ints(1)}, outputs={"y": empty(1)})
    made.pool.close()
    found = json.loads(str(died.value).partition("exit status 7. ")[2])
    assert "planted-secret" not in json.dumps(found)
    assert found.pop("node").startswith("reached")
    assert not [what for what, said in found.items() if said.startswith("reached")]
    assert not Path("/tmp/warpsmith-left-by-a-gpu-worker").exists()


def test_nodes_are_named_one_by_one(tmp_path: Path) -> None:
    for name in ("nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm", "sda", "mem", "kvm"):
        (tmp_path / name).touch()
    assert {"nvidia0", "nvidia12", "nvidiactl", "nvidia-uvm"} == {Path(node).name for node in device_nodes(tmp_path)}
    words = Confinement(here(Level.BUBBLEWRAP), devices=("/dev/nvidia0",)).command(PROGRAM, {})
    assert "--dev-bind-try /dev/nvidia0 /dev/nvidia0" in " ".join(words)


def test_a_driver_that_a_level_keeps_from_its_device_gets_the_next_one_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    here(Level.BUBBLEWRAP)
    monkeypatch.setattr(
        confined, "wrapped", lambda *words, **more: [sys.executable, "-c", "raise SystemExit('no node')"]
    )
    made = FakeGpus(tmp_path, level=Level.LANDLOCK)
    made.pool.command = replace(made.pool.command, confinement=replace(_confinement(made), level=Level.BUBBLEWRAP))
    with caplog.at_level(logging.WARNING), made.pool.lease():
        assert Level.LANDLOCK is made.pool.level
    assert "does not start at level bubblewrap" in caplog.text
    made.pool.close()


def test_no_level_below_the_required_one_is_tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "_least", [Level.RLIMITS])
    command = WorkerCommand(confinement=Confinement(Level.LANDLOCK))
    weaker = weaker_than(command)
    assert weaker is not None
    assert Level.RLIMITS is _confinement_of(weaker).level
    levels.forbid_below(here(Level.LANDLOCK))
    assert weaker_than(command) is None
    monkeypatch.setattr(levels, "choose", _none_as_good)
    with pytest.raises(SettingsError):
        levels.forbid_below(Level.BUBBLEWRAP)


def test_our_own_worker_runs_in_the_jail_as_far_as_the_driver() -> None:
    """Without a driver it gets as far as asking for one: every import and the pipes work in there."""
    environment = read_settings().worker_environment
    for level in Level:
        command = WorkerCommand(PROGRAM, environment, Confinement(here(level), devices=device_nodes()))
        found = survey(command)
        assert isinstance(found, Surveyed) or found.result in ("LIBCUDA_NOT_FOUND", "CUDA_ERROR_NO_DEVICE"), found


def _none_as_good(required: Level | None = None) -> Level:
    raise SettingsError(f"nothing as good as {required}")


def _confinement(made: FakeGpus) -> Confinement:
    return _confinement_of(made.pool.command)


def _confinement_of(command: WorkerCommand) -> Confinement:
    assert command.confinement is not None
    return command.confinement
