"""Makes a task file of a problem in KernelBench's form: a class `Model`, `get_inputs` and `get_init_inputs`.

Parameters and buffers of the model become static inputs, module-level integers dimensions; integer tensors keep their
dtype. The file's code is run to learn the shapes, so it has to be trusted like a task file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from warpsmith.core.errors import TaskError
from warpsmith.tasks.importers.kernelbench.domain import find_domain
from warpsmith.tasks.importers.kernelbench.facts import Facts
from warpsmith.tasks.importers.kernelbench.needless import divisors
from warpsmith.tasks.importers.kernelbench.probe import Probe, Seen, drawn_dtype
from warpsmith.tasks.importers.kernelbench.source import ProblemSource, read_problem
from warpsmith.tasks.importers.kernelbench.values import try_values
from warpsmith.tasks.importers.kernelbench.workloads import bench_workload, verify_workloads
from warpsmith.tasks.importers.kernelbench.write import UNITS, task_text
from warpsmith.tasks.problem import Build

DTYPES = tuple(UNITS)
"""What the floating tensors of an imported problem may be."""
BENCH_MIB = 1024
"""Most memory that the tensors of a bench workload take where nobody says otherwise."""


@dataclass(frozen=True, slots=True)
class Imported:
    """A problem as a task file."""

    facts: Facts

    @property
    def name(self) -> str:
        return self.facts.name

    @property
    def text(self) -> str:
        return task_text(self.facts)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What a person should know of the choices that were made."""
        facts = self.facts
        seen = facts.probe.at(facts.domain.file)
        idle = [name for name in seen.state if name not in facts.state] if isinstance(seen, Seen) else []
        said = []
        if facts.domain.fixed:
            said.append(f"fixed: {', '.join(facts.domain.fixed)}")
        if facts.halved:
            said.append(f"made smaller to fit memory: {', '.join(dict.fromkeys(facts.halved))}")
        if idle:
            said.append(f"without effect on the result, no inputs: {', '.join(idle)}")
        return tuple(said)

    def without(self, workloads: set[str]) -> Imported:
        """The same with fewer verify workloads."""
        kept = tuple(item for item in self.facts.verify if item.name not in workloads)
        return Imported(replace(self.facts, verify=kept))


def import_problem(path: Path, *, name: str = "", dtype: str = "", bench_mib: int = BENCH_MIB) -> Imported:
    """Run a problem file and describe it as a task.

    Args:
        path: The problem file; trusted, since it is run.
        name: Of the task; by default the file's, without the number in front.
        dtype: Of all floating tensors; by default that of what `get_inputs` draws.
        bench_mib: Most memory of a bench workload's tensors; larger sizes are halved.

    Raises:
        TaskError: it is no such problem, raises, draws at random while it computes, or has shapes that cannot be
            followed; says which and what to do.
    """
    import torch

    if dtype and dtype not in DTYPES:
        raise TaskError(f"'{dtype}' cannot be asked for.", remedy=f"Floating tensors may be {', '.join(DTYPES)}.")
    source = read_problem(path)
    name = name or _task_name(path)
    problem = _executed(source)
    drawn = dtype or drawn_dtype(problem, tuple(source.sizes.values()))
    probe = Probe(problem, tuple(source.sizes), getattr(torch, drawn if drawn in DTYPES else "float32"))
    domain = find_domain(probe, source.sizes, str(path))
    verify = verify_workloads(probe, domain)
    bench, halved = bench_workload(probe, domain, bench_mib * 2**20)
    kinds = probe.kinds(domain.file)
    if not verify:
        raise TaskError(f"{path}: no sizes were found at which the problem is small and works.")
    tried = try_values(str(path), problem, [verify[0].sizes[size] for size in source.sizes], kinds)
    facts = Facts(
        name=name,
        source=source,
        probe=probe,
        domain=domain,
        kinds=kinds,
        state=tried.used,
        unordered=tried.unordered,
        divisors=divisors(probe, domain, kinds),
        verify=verify,
        bench=bench,
        halved=tuple(halved),
    )
    return Imported(facts)


def _task_name(path: Path) -> str:
    name = re.sub(r"\W+", "_", path.stem.lower()).strip("_")
    name = re.sub(r"^\d+_+", "", name)
    if name[:1].isdigit():
        name = f"problem_{name}"  # 11_4D_tensor_matrix_multiplication.py
    if not re.match(r"[a-z][a-z0-9_]*\Z", name):
        raise TaskError(f"no task can be named after {path.name}.", remedy="Give --name.")
    return name


def _executed(source: ProblemSource) -> Build:
    """The `problem` function, as the task file will hold it."""
    text = f"from warpsmith.tasks.problem import Problem\n{source.imports}\n\n\n{source.function()}"
    namespace: dict[str, Any] = {"__name__": "warpsmith_problem"}
    try:
        exec(compile(text, str(source.path), "exec"), namespace)  # noqa: S102 - problem files are trusted
    except Exception as error:
        raise TaskError(f"{source.path}: does not load: {type(error).__name__}: {error}.") from error
    build: Build = namespace["problem"]
    return build
