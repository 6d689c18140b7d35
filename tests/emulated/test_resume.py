"""A run that dies at any moment goes on to the end it would have had."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from warpsmith.core.events import Evaluated, Judged, Proposed
from warpsmith.store import Store

TINY = Path(__file__).parent / "tiny"
ROUNDS, FEW = 8, 3


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, "-m", "warpsmith", *words, "--store", str(folder / "store.sqlite"), "--json"]


def optimize(folder: Path, rounds: int = ROUNDS) -> list[str]:
    task, kernel = str(TINY / "scaled_sum.py"), str(TINY / "scaled_sum.cu")
    options = ["--seed-kernel", kernel, "--seed", "7", "--rounds", str(rounds), "--library", str(folder / "library")]
    return command(folder, "optimize", task, *options)


def finish(words: list[str]) -> dict[str, object]:
    run = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert run.returncode in (0, 1), run.stderr
    answer: dict[str, object] = json.loads(run.stdout)
    return answer


def kill_after(words: list[str], seconds: float) -> None:
    child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    child.send_signal(signal.SIGKILL)
    child.wait()


@pytest.mark.full
def test_ctrl_c_while_a_candidate_is_judged_ends_with_130_and_the_command_that_goes_on(tmp_path: Path) -> None:
    child = subprocess.Popen(optimize(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert child.stderr is not None
    seen = next(line for line in child.stderr if line.startswith("round 1"))
    time.sleep(2.0)  # torch and the compiler are at work in threads of their own
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (130, "Interrupted") == (child.returncode, json.loads(out)["error"]["kind"]), (seen, err)
    assert json.loads(out)["error"]["remedy"].startswith("Continue with: warpsmith resume ")
    assert finish(command(tmp_path, "resume"))["rounds"]


@pytest.mark.full
def test_a_run_killed_ten_times_ends_with_the_kernel_of_an_undisturbed_one(tmp_path: Path) -> None:
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    start = time.perf_counter()
    expected = finish(optimize(calm))
    whole = time.perf_counter() - start

    moments = random.Random(time.time_ns())
    kill_after(optimize(stormy), 0.6 * whole)  # late enough that the run has begun
    for _ in range(9):
        kill_after(command(stormy, "resume"), moments.uniform(0.0, whole))
    answer = finish(command(stormy, "resume"))

    for name in ("accepted", "rounds", "outcomes", "workloads", "speedup_over_seed"):
        assert expected[name] == answer[name], name
    with Store.open(stormy / "store.sqlite") as store:
        store.integrity_check()
        (run,) = store.runs()
        events = store.events(run.run)
    for kind in (Proposed, Evaluated, Judged):
        assert len({str(event) for event in events if isinstance(event, kind)}) == sum(
            isinstance(event, kind) for event in events
        )
    evaluated = [event.evaluation.candidate for event in events if isinstance(event, Evaluated)]
    assert len(set(evaluated)) == len(evaluated)


def test_a_tiny_task_of_ones_own_is_optimised_and_served(tmp_path: Path) -> None:
    answer = finish(optimize(tmp_path, FEW))
    assert {"Verified": FEW} == answer["outcomes"]
    assert answer["accepted"]
    times = answer["workloads"]
    assert isinstance(times, list)
    assert all(item["source"] == "modelled" and 0 < item["fraction"] <= 1 for item in times)
