"""Tries a task before any kernel: wrong results must fail its comparison, honest ones pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from warpsmith.core.errors import TaskError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.kernel_file.dims import tensors_of
from warpsmith.core.outcome import WorkloadCheck, Wrong
from warpsmith.core.task import Role, Task, Workload
from warpsmith.core.tensor import HostTensor
from warpsmith.sandbox.verify.backward import backward_problems
from warpsmith.sandbox.verify.compare import compare
from warpsmith.sandbox.verify.judged import broken_property, changed_inputs
from warpsmith.sandbox.verify.mutants import (
    LOWER_INPUTS,
    LOWER_OUTPUTS,
    input_mutants,
    output_mutants,
    single_output_mutants,
)
from warpsmith.sandbox.verify.standard import Standard
from warpsmith.tasks.binding import shape_of
from warpsmith.tasks.convert import from_torch, torch_dtype
from warpsmith.tasks.oracle import checked_tensors, exact_cost, honest, oracle
from warpsmith.tasks.sample import make_inputs

CATCHES = 3
"""Workloads that must catch a changed input before it is no longer tried; one is enough to be sound."""


@dataclass(frozen=True, slots=True)
class Survivor:
    """A wrong result that the comparison accepted at one workload."""

    workload: str
    mutant: str


@dataclass(frozen=True, slots=True)
class TaskReport:
    """What the gate found."""

    problems: tuple[str, ...]
    """What makes the task unsound, each with what to do; empty where it is sound."""
    survivors: tuple[Survivor, ...]
    """Every accepted wrong result. A changed input may survive where another workload catches it."""
    tried: int
    """Wrong results held against the comparison."""

    @property
    def passed(self) -> bool:
        return not self.problems


def check_task(task: Task, *, seed: int = 0) -> TaskReport:
    """Run the gate on every verify workload.

    Wrong outputs (zeros, the mean, shuffled rows, an input, the next lower precision) must fail at every workload; the
    last at one at least where honest results are further off themselves. Changed inputs (an operand ignored, a tail
    dropped, lower precision) must fail at one workload at least. The honest result and the rounded oracle must pass. A
    backward task must give what autograd gives of its forward. An empty workload proves nothing and is skipped.

    Raises:
        TaskError: the reference or a distribution raised, or does not fit what the task declares.
    """
    trials = _Trials(task)
    for workload in task.verify:
        trials.try_workload(workload, seed)
    if not trials.tried:
        trials.problems.append("At no verify workload are there outputs that count. Add one that has some.")
    problems = [*trials.problems, *trials.never_caught(), *trials.idle(), *_presence(task), *_costs(task)]
    problems += backward_problems(task, seed=seed)
    return TaskReport(tuple(problems), tuple(trials.survivors), trials.tried)


class _Trials:
    """What became of the wrong results so far."""

    def __init__(self, task: Task) -> None:
        self.task = task
        self.problems: list[str] = []
        self.survivors: list[Survivor] = []
        self.caught: dict[str, int] = {}
        self.judged = task.judged >= {item.name for item in task.outputs}
        """Checks judge all outputs: choices and draws, which inputs of less precision may leave as they are."""
        self.tried = 0
        self.shown: set[str] = set()

    def try_workload(self, workload: Workload, seed: int) -> None:
        task = self.task
        inputs = make_inputs(task, workload, seed)
        standard = Standard(task, workload, inputs)
        expected = standard.expected
        if _nothing_counts(task, expected) or not any(item.nbytes for item in inputs.values()):
            return
        self._honest(standard)
        self._properties(workload, inputs, expected, seed)
        self._exact_cost(workload, inputs)
        for mutant, outputs in output_mutants(standard.honest, inputs):
            survives = self._survives(standard, mutant, outputs)
            if mutant == LOWER_OUTPUTS and (not survives or self._drowned(standard, outputs)):
                self.caught[mutant] = self.caught.get(mutant, 0) + (not survives)
            elif survives:
                remedy = "Draw inputs that spread the outputs, or tighten the tolerance."
                self.problems.append(f"'{workload.name}' accepts {mutant} as a result. {remedy}")
        for mutant, outputs in single_output_mutants(standard.honest):
            survives = self._survives(standard, mutant, outputs)
            self.caught[mutant] = self.caught.get(mutant, 0) + (not survives)
        unordered = frozenset(tensor.name for tensor in task.inputs if tensor.unordered)
        for mutant, changed in input_mutants(inputs, unordered):
            if self.caught.get(mutant, 0) >= CATCHES or (mutant == LOWER_INPUTS and self.judged):
                continue
            try:
                outputs = honest(task, workload, changed)
            except TaskError:
                continue  # The reference refuses such inputs, as it may; a kernel that behaves so is caught elsewhere.
            survives = self._survives(standard, mutant, outputs)
            self.caught[mutant] = self.caught.get(mutant, 0) + (not survives)

    def _drowned(self, standard: Standard, outputs: Mapping[str, HostTensor]) -> bool:
        """Whether it is the error of honest results that hides what is wrong, as where terms cancel: no task can be
        sharper there, but it has to be elsewhere.
        """
        right = _rounded(self.task, standard.workload, standard.expected)
        asked = self.task, standard.workload, outputs, standard.expected, right
        return isinstance(compare(*asked, inputs=standard.inputs), Wrong)

    def never_caught(self) -> list[str]:
        """Mutants that no workload tells from a right kernel, of those that need not show at each."""
        remedy = "Add a workload or a distribution where it matters."
        return [f"No workload fails with {mutant}. {remedy}" for mutant, caught in self.caught.items() if not caught]

    def idle(self) -> list[str]:
        """Properties that changed nothing or compared nothing at any workload."""
        remedy = "Give `pairs` something to compare, at a workload where the change matters."
        names = [prop.name for prop in self.task.properties]
        return [f"The property '{name}' never compares anything. {remedy}" for name in names if name not in self.shown]

    def _properties(
        self,
        workload: Workload,
        inputs: Mapping[str, HostTensor],
        expected: Mapping[str, NDArray[Any]],
        seed: int,
    ) -> None:
        """What the task says of all right results holds for its own reference."""
        first = _rounded(self.task, workload, expected)
        for prop in self.task.properties:
            changed, known = changed_inputs(self.task, workload, prop, inputs, seed)
            second = _rounded(self.task, workload, oracle(self.task, workload, changed))
            verdict = broken_property(self.task, workload, prop, first, second, known)
            if verdict:
                self.problems.append(f"The reference breaks a property at '{workload.name}'. {verdict}")
            if any(not np.array_equal(changed[name].bytes, inputs[name].bytes) for name in inputs):
                self.shown.add(prop.name)

    def _exact_cost(self, workload: Workload, inputs: Mapping[str, HostTensor]) -> None:
        """The cost of drawn inputs is at most the cost of their sizes."""
        if self.task.exact_cost is None:
            return
        most, exact = self.task.cost(dims_of(self.task, workload)), exact_cost(self.task, workload, inputs)
        if exact.flops > 1.001 * most.flops or exact.bytes > 1.001 * most.bytes:
            self.problems.append(
                f"exact_cost is {exact.flops:.4g} operations and {exact.bytes:.4g} bytes at '{workload.name}', more "
                f"than cost's {most.flops:.4g} and {most.bytes:.4g}. `cost` is the most it can be."
            )

    def _honest(self, standard: Standard) -> None:
        workload, expected = standard.workload, standard.expected
        again = oracle(self.task, workload, standard.inputs)
        if any(not np.array_equal(expected[name], again[name], equal_nan=True) for name in expected):
            self.problems.append(f"The reference gives other values when called again at '{workload.name}'.")
        right = {"honest result": standard.honest, "rounded oracle": _rounded(self.task, workload, expected)}
        for name, outputs in right.items():
            verdict = standard.verdict(outputs)
            if isinstance(verdict, Wrong):
                self.problems.append(f"'{workload.name}' refuses the {name}: {verdict.message}")

    def _survives(self, standard: Standard, mutant: str, outputs: Mapping[str, HostTensor]) -> bool:
        self.tried += 1
        survives = isinstance(standard.verdict(outputs), WorkloadCheck)
        if survives:
            self.survivors.append(Survivor(standard.workload.name, mutant))
        return survives


def _nothing_counts(task: Task, expected: Mapping[str, NDArray[Any]]) -> bool:
    """Whether outputs are empty, or hold no more than counts of no rows."""
    counts = {getattr(output, "valid", None) for output in task.outputs} - {None}
    for name, array in expected.items():
        valid = getattr(task.tensor(name), "valid", None)
        held = int(expected[valid].reshape(-1)[0]) if valid else array.size
        if held and (name not in counts or array.any()):
            return False
    return True


def _rounded(task: Task, workload: Workload, expected: Mapping[str, NDArray[Any]]) -> dict[str, HostTensor]:
    import torch

    dtypes = {name: dtype for name, (dtype, _) in checked_tensors(task, workload).items()}
    values = {name: torch.from_numpy(array).to(torch_dtype(dtypes[name])) for name, array in expected.items()}
    return {name: from_torch(value, dtypes[name]) for name, value in values.items()}


def _presence(task: Task) -> list[str]:
    """Optional inputs that no verify workload has, or lacks; and bench workloads that have others than all of those."""
    problems = []
    for name in sorted(task.optional):
        absent = {name in item.absent for item in task.verify}
        if len(absent) == 1:
            problems.append(
                f"No verify workload {'has' if True in absent else 'lacks'} the optional input {name}. Add a "
                "distribution that always draws it and one that never does, or declare it as it always is."
            )
    known = {item.absent for item in task.verify}
    for item in task.bench:
        if item.absent not in known:
            without = ", ".join(sorted(item.absent)) or "nothing"
            problems.append(f"'{item.name}' leaves out {without}, as no verify workload does. Add one that does.")
    return problems


def _costs(task: Task) -> list[str]:
    """A cost that counts more bytes than the tensors hold would make the speed of light too slow."""
    problems = []
    for workload in task.bench:
        held = 0
        for tensor in tensors_of(task):
            twice = 2 if getattr(tensor, "role", None) is Role.INPLACE else 1
            elements = int(np.prod(shape_of(task, tensor, workload), dtype=np.int64))
            held += twice * elements * task.dtype_of(tensor, workload).itemsize
        counted = task.cost(dims_of(task, workload)).bytes
        if counted > 1.001 * held:
            problems.append(
                f"cost counts {counted:.4g} bytes at '{workload.name}', more than the {held:.4g} all tensors hold. "
                "Count every byte once."
            )
    return problems
