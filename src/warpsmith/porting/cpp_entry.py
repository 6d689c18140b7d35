"""Which host function is meant, and what the kernels it launches must declare."""

from __future__ import annotations

from collections.abc import Mapping

from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.model import Signature
from warpsmith.core.task import Task
from warpsmith.porting.cpp_file import CppFile, HostFunction
from warpsmith.porting.plan import Plan


def find_entry(file: CppFile, wanted: str) -> HostFunction:
    launching = {name for name, host in file.hosts.items() if any(token.text == "<<<" for token in host.body)}
    grown = True
    while grown:
        calling = {name for name, host in file.hosts.items() if launching & {token.text for token in host.body}}
        grown, launching = bool(calling - launching), launching | calling
    called = {token.text for name in launching for token in file.hosts[name].body if token.text != name}
    entries = [wanted] if wanted in launching else [] if wanted else sorted(launching - called)
    if len(entries) == 1:
        return file.hosts[entries[0]]
    names = ", ".join(sorted(launching)) or "none"
    if wanted:
        raise KernelFileError(f"No host function `{wanted}` launches a kernel: {names} do.", line=1)
    if entries:
        raise KernelFileError(
            f"Several host functions launch kernels: {names}.", remedy="Name one: --entry NAME.", line=1
        )
    remedy = "Nothing says how the kernels are launched: write the head block by hand, docs/kernel-file.md."
    raise KernelFileError("No host function launches a kernel with <<<>>>.", remedy=remedy, line=1)


def check_const(signatures: Mapping[str, Signature], task: Task, found: Plan) -> None:
    """Inputs are bound to pointers to const, or the compiler refuses the file."""
    inputs = {it.name for it in task.inputs if it.role.value != "inplace"}
    for step in found.steps:
        for parameter in signatures[_bare(step.kernel)].parameters if step.kernel else ():
            said = step.args.get(parameter.name, parameter.name)
            if said in inputs and "*" in parameter.type and "const" not in parameter.type.split():
                what = f"`{step.kernel}` takes the input `{said}` as `{parameter.type} {parameter.name}`"
                found.ask(0, what, "Make it a pointer to const in the kernel.")


def _bare(kernel: str) -> str:
    return kernel.partition("<")[0].rpartition("::")[2].strip()
