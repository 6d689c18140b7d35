"""A kernel as a repository of Hugging Face's `kernels`: one folder for each backend, with an operator and a layer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from warpsmith.core.errors import SettingsError
from warpsmith.core.task import Role
from warpsmith.exporting.bundle import EVIDENCE, RUNTIME, Bundle, card, evidence, runtime_text
from warpsmith.exporting.carried import carry
from warpsmith.exporting.plan_text import plan_text
from warpsmith.exporting.subject import Subject
from warpsmith.kernels_generated.operator import schema_of

BACKENDS = ("cuda", "cpu")
LICENCE = "apache-2.0"
_NAME = re.compile(r"[a-z][a-z0-9_]*")


def hf_kernels(subject: Subject, workloads: tuple[str, ...], *, version: int = 1, licence: str = LICENCE) -> Bundle:
    """The repository, with builds for the named workloads (all that the kernel claims, where none is named).

    Raises:
        SettingsError: something of the kernel or its task cannot be carried.
    """
    if not _NAME.fullmatch(subject.task.name):
        raise SettingsError(
            f"{subject.task.name} is no name for a kernel of the Hub: lower-case letters, digits and _ only.",
            remedy="Rename the task.",
        )
    plan = plan_text(subject, subject.chosen(workloads))
    name = f"{subject.task.name}_{subject.digest}"
    files: dict[str, str | bytes] = {
        "README.md": _readme(subject, licence),
        subject.kernel_file_name: subject.text,
        EVIDENCE: evidence(subject),
    }
    texts = {f"_{module}.py": _with_private_imports(runtime_text(module)) for module in RUNTIME}
    texts["_reference.py"] = carry({"reference": subject.task.reference}, subject.task.name)
    texts["_the_plan.py"] = f"from ._plan import *  # noqa: F403\n\n{plan.text}"
    texts["layers.py"] = _layers(subject)
    texts["__init__.py"] = _init(subject, name)
    for backend in BACKENDS:
        folder = f"build/torch-{backend}"
        files |= {f"{folder}/{path}": text for path, text in texts.items()}
        if backend == "cuda":
            files |= {f"{folder}/code/{code}.cubin": data for code, data in plan.codes.items()}
        described = _metadata(subject, name, backend, version, licence)
        files[f"{folder}/metadata.json"] = json.dumps(described, indent=2) + "\n"
    return Bundle(files)


def _with_private_imports(text: str) -> str:
    """The launcher's modules have an underscore before their names, so that nobody takes them for the kernel's."""
    return re.sub(r"^from \.(\w+) import", r"from ._\1 import", text, flags=re.MULTILINE)


def _metadata(subject: Subject, name: str, backend: str, version: int, licence: str) -> dict[str, Any]:
    kind: dict[str, Any] = {"type": backend}
    if backend == "cuda":
        digits = subject.arch.target.removeprefix("sm_")
        number, suffix = digits.rstrip("a"), "a" if digits.endswith("a") else ""
        kind["archs"] = [f"{number[:-1]}.{number[-1]}{suffix}"]
    return {
        "id": name,
        "name": subject.task.name.replace("_", "-"),
        "version": version,
        "license": licence,
        "python-depends": [],
        "backend": kind,
    }


def _init(subject: Subject, name: str) -> str:
    task, schema = subject.task, schema_of(subject.task)
    tensors = [f"{item.name}: torch.Tensor" + (" | None = None" if item.optional else "") for item in task.inputs]
    keywords = [
        part.split("=")[0].split()[-1] for part in schema.partition("*, ")[2].partition(")")[0].split(", ") if part
    ]
    arguments = ", ".join([*tensors, *(["*", *(f"{key}: int | None = None" for key in keywords)] if keywords else [])])
    passed = ", ".join([*(item.name for item in task.inputs), *(f"{key}={key}" for key in keywords)])
    several = ", ".join(["torch.Tensor"] * len(task.outputs))
    returned = several if len(task.outputs) == 1 else f"tuple[{several}]"
    shapes = "\n".join(
        f"        {item.name}: [{', '.join(item.shape)}], {item.dtype}."
        + (" Overwritten." if item.role is Role.INPLACE else "")
        + (" May be absent." if item.optional else "")
        for item in task.inputs
    )
    results = "\n".join(f"        {item.name}: [{', '.join(item.shape)}], {item.dtype}." for item in task.outputs)
    return f'''"""{subject.task.summary}. Written by warpsmith; see README.md for what is known of it."""

from __future__ import annotations

from pathlib import Path

import torch

from . import layers
from ._kernel import Kernel, register
from ._launching import Launcher
from ._reference import reference
from ._the_plan import PLAN


def _code(name: str) -> bytes:
    return (Path(__file__).parent / "code" / f"{{name}}.cubin").read_bytes()


kernel = Kernel(Launcher(PLAN, _code), reference)
_operator = register(kernel, "{name}::{task.name}", {schema!r})


def {task.name}({arguments}) -> {returned}:
    """{task.summary}.

    Args:
{shapes}

    Returns:
{results}
    """
    return _operator({passed})


__all__ = ["kernel", "layers", "{task.name}"]
'''


def _layers(subject: Subject) -> str:
    """A layer without state of its own: static inputs are attributes of the module that it stands in for."""
    task = subject.task
    moving = [item for item in task.inputs if item.role is not Role.STATIC]
    arguments = ", ".join(f"{it.name}: torch.Tensor" + (" | None = None" if it.optional else "") for it in moving)
    passed = ", ".join(
        item.name
        if item.role is not Role.STATIC
        else f'getattr(self, "{item.name}", None)'
        if item.optional
        else f"self.{item.name}"
        for item in task.inputs
    )
    class_name = layer_name(subject)
    static = ", ".join(f"`{item.name}`" for item in task.inputs if item.role is Role.STATIC)
    reads = f"\n\n    Reads {static} of the module." if static else ""
    return f'''"""Layers that `kernelize` puts in place of a model's own."""

from __future__ import annotations

from typing import Any

import torch


class {class_name}(torch.nn.Module):
    """{task.summary}.{reads}
    """

    has_backward = False
    can_torch_compile = True

    def forward(self, {arguments}) -> Any:
        """Compute it."""
        from . import {task.name}

        return {task.name}({passed})
'''


def layer_name(subject: Subject) -> str:
    """`W4a16Gemm` for `w4a16_gemm`."""
    return "".join(part.capitalize() for part in subject.task.name.split("_"))


def _readme(subject: Subject, licence: str) -> str:
    task = subject.task
    return (
        f"---\nlicense: {licence}\ntags:\n- kernel\n---\n\n# {task.name}\n\n{card(subject)}\n"
        "```python\nfrom pathlib import Path\nfrom kernels import get_local_kernel\n\n"
        f'{task.name} = get_local_kernel(Path("this/folder")).{task.name}\n```\n'
    )


def variant_folder(folder: Path, backend: str) -> Path:
    """Where a backend's variant lies."""
    return folder / "build" / f"torch-{backend}"
