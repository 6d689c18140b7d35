"""The workload a person means: a task's own by name, or sizes of their own."""

from __future__ import annotations

import re
from collections.abc import Callable

from warpsmith.core.dtype import DType
from warpsmith.core.errors import SettingsError
from warpsmith.core.kernel_file import dims_of
from warpsmith.core.nearest import did_you_mean
from warpsmith.core.task import Task, Workload
from warpsmith.tasks.presence import absent_from

_SIZES = re.compile(r"\s*[A-Za-z_]\w*\s*=")


def choose_workload(task: Task, text: str | None, inside: Callable[[Workload], bool]) -> Workload:
    """A workload of the task by name, or `M=16,N=64,K=128`; by default the first verify workload that is `inside`.

    Sizes may also bind dtype variables and the `distribution`; what is fixed in the task and left out is that of its
    first verify workload.

    Raises:
        SettingsError: there is no such workload, or the text cannot be read.
        TaskError: the sizes do not fit the task.
    """
    if text is None:
        found = next((item for item in task.verify if inside(item)), None)
        if found is None:
            raise SettingsError(
                f"no verify workload of {task.name} is inside the kernel's `requires`.",
                remedy="Give sizes that are: --workload M=16,N=64.",
            )
        return found
    known = {item.name: item for item in (*task.bench, *task.verify)}
    if text in known:
        return known[text]
    if _SIZES.match(text):
        return _sized(task, text)
    folded = [name for name in known if name.casefold().startswith(text.casefold())]
    if len(folded) == 1:
        return known[folded[0]]
    hint = did_you_mean(text, list(known)) or f"It has: {'; '.join(known)}."
    raise SettingsError(f"{task.name} has no workload '{text}'.", remedy=f"{hint} Or give sizes: M=16,N=64.")


def _sized(task: Task, text: str) -> Workload:
    base = task.verify[0]
    dims = {name: base.dims[name] for name in task.fixed}
    dtypes, distribution = dict(base.dtypes), base.distribution
    for part in text.split(","):
        name, _, value = (item.strip() for item in part.partition("="))
        if name == "distribution":
            distribution = value
        elif name in dtypes:
            dtypes[name] = _dtype(name, value)
        elif re.fullmatch(r"\d{1,18}", value):
            dims[name] = int(value)
        else:
            raise SettingsError(f"--workload: {part.strip()!r} is no size.", remedy="Write NAME=integer, ...")
    if distribution not in task.make_inputs:
        raise SettingsError(
            f"{task.name} has no distribution '{distribution}'.", remedy=f"It has: {', '.join(task.make_inputs)}."
        )
    workload = Workload(text, dims, distribution, dtypes=dtypes, absent=absent_from(task, distribution))
    dims_of(task, workload)
    return workload


def _dtype(name: str, value: str) -> str:
    known = [item.value for item in DType]
    if value not in known:
        raise SettingsError(f"--workload: {name}={value} is no element type.", remedy=did_you_mean(value, known))
    return value
