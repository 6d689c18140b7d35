"""The same work on the emulator and on the two tools that run kernels without a GPU, in the same run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from warpsmith import app
from warpsmith.core.arch import find_architecture
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import Failure
from warpsmith.core.protocols import RunRequest
from warpsmith.core.task import Workload
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.emulated import EmulatedLauncher
from warpsmith.sandbox.gate.stages import read_candidate
from warpsmith.tasks import load_task
from warpsmith.tasks.sample import empty_outputs, make_inputs

ROOT = Path(__file__).parents[1]
PEERS = Path(__file__).with_name("peers")
NUMBA_SIZE, TRITON_SIZE = 64, 256
NUMBA_GOAL, TRITON_GOAL = 1000.0, 10.0
TIMEOUT = 600


def compare_with_numba(ours: Callable[[int, bool], float]) -> dict[str, Any]:
    """A naive fp32 GEMM of 64 x 64 x 64; `ours(size, checks)` gives the emulator's seconds."""
    if importlib.util.find_spec("numba") is None:
        return {"missing": "numba is not installed: pip install 'warpsmith[bench]'"}
    peer = _run(PEERS / "numba_gemm.py", str(NUMBA_SIZE), switch="NUMBA_ENABLE_CUDASIM")
    return _beside(peer, lambda checks: ours(NUMBA_SIZE, checks), NUMBA_GOAL, f"naive fp32 GEMM, {NUMBA_SIZE} cubed")


def compare_with_triton() -> dict[str, Any]:
    """An fp16 matrix product of 256 x 256 x 256: `examples/matmul.py` as it stands."""
    if importlib.util.find_spec("triton") is None:
        return {"missing": "triton is not installed"}
    path = ROOT / "examples" / "matmul.py"
    peer = _run(PEERS / "triton_matmul.py", str(path), str(TRITON_SIZE), switch="TRITON_INTERPRET")
    call = _triton_call(path)
    return _beside(peer, call, TRITON_GOAL, f"Triton fp16 matmul, {TRITON_SIZE} cubed, compiled for sm_80")


def _beside(peer: float, ours: Callable[[bool], float], goal: float, work: str) -> dict[str, Any]:
    plain, checked = ours(False), ours(True)
    return {
        "work": work,
        "peer_seconds": peer,
        "seconds": plain,
        "checked_seconds": checked,
        "times_faster": peer / plain,
        "times_faster_checked": peer / checked,
        "goal": goal,
    }


def _run(script: Path, *arguments: str, switch: str) -> float:
    """Seconds that a peer's own process reports."""
    environment = os.environ | {switch: "1"}
    ran = subprocess.run(
        [sys.executable, str(script), *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    return float(json.loads(ran.stdout.splitlines()[-1])["seconds"])


def _triton_call(path: Path) -> Callable[[bool], float]:
    """Seconds of the emulator's best call on one host thread, allocation and read-back included."""
    task = load_task(ROOT / "examples" / "tasks" / "matmul.py")
    candidate = read_candidate(path.read_text())
    arch = find_architecture("sm_80")
    gate = app.gate(task, arch="sm_80")
    halves = dict.fromkeys(task.verify[0].dtypes, "float16")
    workload = Workload("peer", dict.fromkeys(("M", "N", "K"), TRITON_SIZE), "normal", dtypes=halves)
    builds = Builds(parse_kernel_file(candidate.text), task, candidate.knobs, arch, gate.compiler)
    problem = builds.build(workload)
    if isinstance(problem, Failure):
        raise RuntimeError(problem.message)
    inputs = make_inputs(task, workload, 0)

    def seconds(checks: bool) -> float:
        request = RunRequest(
            artifact=builds.artifact(workload),
            plan=builds.plan(workload),
            inputs=inputs,
            outputs=empty_outputs(task, workload),
            checks=checks,
            counters=False,
        )
        return best_of(lambda: EmulatedLauncher(arch).run(request).failure)

    return seconds


def best_of(call: Callable[[], object], repeat: int = 5, clock: Callable[[], float] = time.perf_counter) -> float:
    """Seconds of the best of some calls, each of which must return nothing bad."""
    found = []
    for _ in range(repeat):
        start = clock()
        problem = call()
        found.append(clock() - start)
        if problem is not None:
            raise RuntimeError(str(problem))
    return min(found)
