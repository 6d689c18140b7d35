"""Kernels that ship, exported: found without the user's library, and their plan loaded as an export would load it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.required import skip_or_fail
from warpsmith.exporting.bundle import single_module
from warpsmith.exporting.carried import carry
from warpsmith.exporting.plan_text import plan_text
from warpsmith.exporting.subject import Subject, find_subject

NOWHERE = Path("/nonexistent")
SHIPPED = (
    *("moe_forward", "moe_routing_metadata", "nsa_selected_attention"),
    *("spconv_forward", "spconv_kernel_map", "w4a16_gemm"),
)


def subject_of(choice: str) -> Subject:
    return find_subject(choice, NOWHERE, NOWHERE / "store.sqlite")


def loaded(subject: Subject, workloads: tuple[Any, ...]) -> dict[str, Any]:
    """The names of the launcher, `PLAN` and `reference`, in one module."""
    plan = plan_text(subject, workloads)
    names: dict[str, Any] = {"__name__": f"exported_{subject.task.name}", "CODES": plan.codes}
    text = single_module(carry({"reference": subject.task.reference}, subject.task.name), plan.text)
    exec(compile(text, subject.task.name, "exec"), names)
    return names


def consumer(package: str) -> None:
    """Skip, or fail where it must be there, without the project that loads an export."""
    from importlib.util import find_spec

    if find_spec(package) is None:
        skip_or_fail("consumers", f"{package} is not installed: make consumers")


__all__ = ["SHIPPED", "consumer", "loaded", "subject_of"]
