"""What every format has in common: the launcher's text, the plan, the reference, the machine code, the evidence."""

from __future__ import annotations

import base64
import json
import textwrap
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from warpsmith.core.quantity import Source
from warpsmith.exporting.carried import joined
from warpsmith.exporting.subject import Subject

RUNTIME = ("plan", "driver", "binding", "launching", "kernel")
"""Modules of the launcher, each after those it imports."""
EVIDENCE = "evidence.json"
"""In every export: what the kernel won by."""
_COLUMNS = 100


@dataclass(frozen=True, slots=True)
class Bundle:
    """An export before it is written."""

    files: Mapping[str, str | bytes]
    """Path below the folder -> content."""
    notes: tuple[str, ...] = field(default=())
    """What a user should know that the files cannot say by themselves."""


def runtime_text(name: str) -> str:
    """The source of one of the launcher's modules."""
    return (files("warpsmith.exporting") / "runtime" / f"{name}.py").read_text(encoding="utf-8")


def single_module(*parts: str) -> str:
    """The launcher and further texts as one module without relative imports."""
    return joined([*(runtime_text(name) for name in RUNTIME), *parts])


def embedded(codes: Mapping[str, bytes]) -> str:
    """Machine code as Python: `CODES`, and `code(name)` to unpack it."""
    blobs = []
    for name, code in codes.items():
        text = "\n".join(textwrap.wrap(base64.b64encode(zlib.compress(code, 9)).decode(), _COLUMNS))
        blobs.append(f'    "{name}": """\n{text}\n""",\n')
    return (
        "import base64\nimport zlib\n\nCODES = {\n" + "".join(blobs) + "}\n"
        '"""Cubins, compressed."""\n\n\n'
        "def code(name: str) -> bytes:\n"
        '    """A cubin."""\n'
        "    return zlib.decompress(base64.b64decode(CODES[name]))\n"
    )


def evidence(subject: Subject) -> str:
    """What the kernel won by, every figure with its source: JSON."""
    manifest = subject.manifest
    content: dict[str, Any] = {
        "kernel": manifest.kernel,
        "task": manifest.task,
        "task_digest": manifest.task_digest,
        "knobs": manifest.knobs,
        "target": manifest.target,
        "toolchain": manifest.toolchain,
        "requires": subject.kernel_file.requires.text if subject.kernel_file.requires else "",
        "verdict": {
            "outcome": manifest.evidence.kind,
            "source": Source.EMULATED.value,
            "circumstances": manifest.circumstances.model_dump(mode="json"),
            "workloads": [item.workload for item in manifest.evidence.checks],
        },
        "proofs": [item.model_dump(mode="json") for item in manifest.proofs],
        "times": [item.model_dump(mode="json") for item in manifest.workloads],
        "speedup_over_seed": manifest.speedup_over_seed,
        "baselines": manifest.baselines,
        "lineage": manifest.lineage.model_dump(mode="json"),
        "created": manifest.created.isoformat(),
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def summary(subject: Subject) -> str:
    """One line: where the kernel was accepted, how near the bound, and from what that is known."""
    manifest = subject.manifest
    return (
        f"{manifest.task}, accepted by warpsmith for {manifest.target} ({subject.arch.target}): "
        f"{manifest.fraction:.1%} of the speed-of-light bound ({manifest.source.value}), "
        f"verdict {manifest.evidence.kind} on {len(manifest.evidence.checks)} workloads (emulated)"
    )


def card(subject: Subject) -> str:
    """What a reader of the export should know, in Markdown."""
    manifest = subject.manifest
    requires = subject.kernel_file.requires
    rows = "\n".join(
        f"| {item.workload} | {item.time_us:.2f} | {item.bound_us:.2f} | {item.fraction:.1%} | {item.source.value} |"
        for item in manifest.workloads
    )
    proofs = "\n".join(f"* {item.what}: {item.source.value}, {item.where}. {item.detail}" for item in manifest.proofs)
    modelled = (
        "\n**These times are modelled, not measured**: derived from counted instructions and published figures.\n"
        if manifest.source is Source.MODELLED
        else ""
    )
    return (
        f"{subject.task.summary}.\n\n"
        f"Kernel `{manifest.kernel}`, written by {manifest.lineage.coder}, compiled by {manifest.toolchain} for "
        f"{subject.arch.target}. It runs on {manifest.target} GPUs alone"
        + (f", where `{requires.text}` holds" if requires else "")
        + "; everything else is computed by the reference.\n\n"
        f"| workload | time us | bound us | of bound | source |\n|---|---|---|---|---|\n{rows}\n{modelled}\n"
        f"Evidence:\n\n{proofs}\n"
    )
