"""Runs NVIDIA's tools over recorded calls: Nsight Compute for counters, compute-sanitizer for what a GPU does not say.

One tool at a time on a machine, each with a limit; a tool that is missing, refused or late is an answer with a reason,
never an error: the next lower rung serves.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from warpsmith.core.errors import DeviceError
from warpsmith.profiler.ncu import (
    CounterReport,
    LaunchMetrics,
    NoCounters,
    Rung,
    collect_command,
    explain,
    parse_chip,
    parse_query,
    parse_raw,
    query_command,
)
from warpsmith.profiler.ncu_metrics import Resolved, resolve
from warpsmith.sandbox.device import sanitizer
from warpsmith.sandbox.device.lease import Leases
from warpsmith.sandbox.device.lowering import Lowered
from warpsmith.sandbox.device.replay import PROGRAM, write_recording
from warpsmith.sandbox.device.sanitizer import Sanitized, Tool

QUERY_SECONDS, COUNT_SECONDS, CHECK_SECONDS = 60.0, 180.0, 120.0
WAIT_SECONDS = 600.0
"""For another process' tool to end."""
TOOLKIT, NSIGHT_COMPUTE = Path("/usr/local/cuda"), Path("/opt/nvidia/nsight-compute")
"""Where NVIDIA's installers put them unless told otherwise."""


@cache
def find_tool(name: str, toolkits: tuple[str, ...] = ()) -> str | None:
    """A tool in PATH, in one of the toolkits, or where NVIDIA's installers put it."""
    found = shutil.which(name)
    if found:
        return found
    parts = [folder / part for folder in (*map(Path, toolkits), TOOLKIT) for part in ("bin", "compute-sanitizer")]
    for place in (*parts, NSIGHT_COMPUTE):
        for path in sorted([*place.glob(name), *place.glob(f"*/{name}")], reverse=True):
            if path.is_file() and os.access(path, os.X_OK):
                return str(path)
    return None


@dataclass(frozen=True, slots=True)
class Tools:
    """NVIDIA's tools for one GPU."""

    uuid: str
    program: Sequence[str] = PROGRAM
    """Replays the recording whose path is appended."""
    ncu: str | None = None
    sanitizer: str | None = None
    environment: Mapping[str, str] | None = None
    """None: this process' own."""

    @classmethod
    def installed(cls, uuid: str, environment: Mapping[str, str] | None) -> Tools:
        """Those of this machine; CUDA_HOME and CUDA_PATH in the environment name toolkits."""
        toolkits = tuple(folder for name in ("CUDA_HOME", "CUDA_PATH") if (folder := (environment or {}).get(name)))
        ncu, checker = find_tool("ncu", toolkits), find_tool("compute-sanitizer", toolkits)
        return cls(uuid, ncu=ncu, sanitizer=checker, environment=environment)

    def counters(self, calls: Sequence[Lowered], *, seconds: float = COUNT_SECONDS) -> CounterReport:
        """All wanted metrics of every launch, or why there are none."""
        if self.ncu is None:
            remedy = "Install Nsight Compute, put its ncu into PATH, or name its toolkit in CUDA_HOME."
            return CounterReport(rung=Rung.EVENTS, reason="Nsight Compute (ncu) is not installed", remedy=remedy)
        try:
            wanted = self._resolved()
            return CounterReport(rung=Rung.COUNTERS, launches=self._count(self.ncu, calls, wanted, seconds))
        except NoCounters as none:
            return none.report()

    def check(self, tool: Tool, call: Lowered, *, seconds: float = CHECK_SECONDS) -> Sanitized:
        """One checker over one call."""
        if self.sanitizer is None:
            return Sanitized(tool=tool, ran=False, reason="compute-sanitizer is not installed")
        with tempfile.TemporaryDirectory(prefix="warpsmith-check-") as folder:
            recording, log = Path(folder) / "calls", Path(folder) / "log"
            write_recording(recording, self.uuid, [call])
            program = sanitizer.command(self.sanitizer, tool, log, [*self.program, str(recording)])
            said = self._run(program, seconds)
            if said is None:
                return Sanitized(tool=tool, ran=False, reason=f"compute-sanitizer took more than {seconds:g} s")
            return sanitizer.parse(tool, _text(log) or said)

    def _resolved(self) -> tuple[Resolved, ...]:
        text = self._query()
        return resolve(parse_query(text), parse_chip(text) or "this chip")

    def _query(self) -> str:
        ncu = str(self.ncu)
        if ncu not in _ANSWERS:
            said = self._run(query_command(ncu), QUERY_SECONDS)
            if said is None:
                raise NoCounters(f"`ncu --query-metrics` took more than {QUERY_SECONDS:g} s")
            refusal = explain(said)
            if refusal is not None:
                raise refusal
            if not parse_query(said):
                raise NoCounters(f"`ncu --query-metrics` lists nothing: {said.strip()[-300:]}")
            _ANSWERS[ncu] = said
        return _ANSWERS[ncu]

    def _count(
        self, ncu: str, calls: Sequence[Lowered], wanted: tuple[Resolved, ...], seconds: float
    ) -> tuple[LaunchMetrics, ...]:
        with tempfile.TemporaryDirectory(prefix="warpsmith-ncu-") as folder:
            recording, log = Path(folder) / "calls", Path(folder) / "log"
            write_recording(recording, self.uuid, calls)
            said = self._run(collect_command(ncu, wanted, log, [*self.program, str(recording)]), seconds)
            if said is None:
                raise NoCounters(f"ncu took more than {seconds:g} s")
            text = _text(log)
            if not text:
                raise explain(said) or NoCounters(f"ncu wrote no log: {said.strip()[-300:]}")
            return parse_raw(text, wanted)

    def _run(self, command: Sequence[str], seconds: float) -> str | None:
        """What a tool and its program printed; None where it had to be ended."""
        with Leases().hold(["nvidia-tools"], WAIT_SECONDS), tempfile.TemporaryFile() as printed:
            environment = None if self.environment is None else dict(self.environment)
            try:
                process = subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=printed,
                    stderr=subprocess.STDOUT,
                    env=environment,
                    start_new_session=True,
                )
            except OSError as error:
                raise DeviceError(f"{command[0]} cannot be started: {error.strerror}.") from error
            try:
                process.wait(seconds)
            except subprocess.TimeoutExpired:
                return None
            finally:
                _end(process)
            printed.seek(0)
            return printed.read().decode("utf-8", "replace")


_ANSWERS: dict[str, str] = {}
"""ncu -> its list of metrics: asked once a process, for it takes seconds."""


def _text(path: Path) -> str:
    return path.read_text("utf-8", "replace") if path.is_file() else ""


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
