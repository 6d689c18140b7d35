"""How many instructions a launch may issue: what the task's cost says, and no less than what is written asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from warpsmith.app import gate
from warpsmith.core.kernel_file import parse_kernel_file
from warpsmith.core.outcome import OverBudget, Stage
from warpsmith.core.protocols import RunReply, RunRequest
from warpsmith.core.task import Cost
from warpsmith.sandbox.builds import Builds
from warpsmith.sandbox.gate.coverage import Ledger
from warpsmith.sandbox.gate.trials import BUDGET_FACTOR, LEAST_BUDGET, Trials
from warpsmith.tasks import load_task

CHEATS = Path(__file__).parents[1] / "cheats"


class Asking:
    """A launcher that keeps what it was asked, and goes no further."""

    asked: RunRequest

    def run(self, request: RunRequest) -> RunReply:
        self.asked = request
        return RunReply(OverBudget(stage=Stage.EMULATE, message="enough"), {}, (), {})


@pytest.mark.parametrize("counted", [3.0, 3e6])
def test_a_cost_that_leaves_a_size_out_allows_what_the_outputs_ask_for(counted: float, tmp_path: Path) -> None:
    task = load_task(CHEATS / "exponents.py")
    task = replace(task, cost=lambda dims: Cost(flops=counted - 1, bytes=1, unit="fp32"))
    judging = gate(task, arch="h200", cache=tmp_path)
    kernel = parse_kernel_file((CHEATS / "kernels" / "exponents.cu").read_text())
    builds, workload = Builds(kernel, task, {}, judging.arch, judging.compiler), task.verify[0]
    assert builds.build(workload) is None
    launcher = Asking()
    assert isinstance(Trials(task, builds, launcher, 1, Ledger(builds)).run(workload), OverBudget)
    written = 2 * workload.dims["M"] * workload.dims["N"]
    assert LEAST_BUDGET + BUDGET_FACTOR * max(counted, written) == launcher.asked.budget
