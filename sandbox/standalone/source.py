"""A file of PTX or CUDA C++ that no task knows, ready to launch."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from warpsmith.core.arch import Architecture
from warpsmith.core.artifact import Resources
from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.errors import KernelFileError
from warpsmith.core.kernel_file.cpp_signatures import cpp_signatures
from warpsmith.core.kernel_file.lexer import lex
from warpsmith.core.kernel_file.model import Signature
from warpsmith.core.nearest import did_you_mean
from warpsmith.core.outcome import CompileFailed
from warpsmith.sandbox.builds import Compiler
from warpsmith.sandbox.emulator.launch import LoadedModule, load
from warpsmith.sandbox.emulator.program import Entry
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parse_module
from warpsmith.sandbox.screen.headers import HOST, HOST_REMEDY

_FILE = re.compile(r'^\s*\.file\s+1\s+"([^"]+)"', re.MULTILINE)
_RUNTIME = re.compile(
    r"^[ \t]*#[ \t]*include[ \t]*<(?:cuda_runtime(?:_api)?|cuda|device_launch_parameters)\.h>[^\n]*$", re.MULTILINE
)
"""Headers that most files include for their host code; what they declare for device code is built in."""
_WITH_HOST_CODE = "Keep device code alone, or compile the file with nvcc -ptx -lineinfo and give the PTX."
_UNKNOWN_REGISTERS = 32
"""Registers a thread is taken to use where no assembler has said."""


@dataclass(frozen=True, slots=True)
class Source:
    """What can be launched."""

    loaded: LoadedModule
    entry: Entry
    ptx: str
    text: str
    """The text that lines count in; empty where it is not at hand."""
    parameters: tuple[str, ...]
    """Their names in the source, or `arg0`, `arg1`, …"""
    resources: Resources
    toolchain: str
    assumed: bool
    """The resources are assumed, not an assembler's."""


def read_ptx(text: str, file: Path, kernel: str | None) -> Source:
    """A PTX file's entry; the only one where `kernel` is None.

    Raises:
        KernelFileError: it is no PTX, or has no such entry.
    """
    named = _FILE.search(text)
    own = file.parent / Path(named[1]).name if named else None
    try:
        module = parse_module(text, source=own.name if own else "")
    except PtxSyntaxError as error:
        raise KernelFileError(
            f"{error.message}.",
            remedy="Give PTX as nvcc -ptx, NVRTC or Triton write it.",
            file=str(file),
            line=error.ptx_line,
            column=error.column,
        ) from None
    entry = _find(list(module.entries), kernel, file)
    return Source(
        loaded=load(module),
        entry=entry,
        ptx=text,
        text=own.read_text(errors="replace") if own is not None and own.is_file() else "",
        parameters=tuple(f"arg{number}" for number in range(len(entry.params))),
        resources=Resources(
            registers=_UNKNOWN_REGISTERS, static_shared=entry.shared_bytes, max_threads=entry.max_threads
        ),
        toolchain="",
        assumed=True,
    )


def read_cuda(
    text: str, file: Path, kernel: str | None, arch: Architecture, compiler: Compiler
) -> Source | CompileFailed:
    """Compile a CUDA C++ file's kernel; the only one where `kernel` is None.

    Raises:
        KernelFileError: it has no such kernel.
    """
    signatures = _signatures(text)
    if kernel is None and len(signatures) != 1:
        said = f"{file} has {len(signatures)} kernels" if signatures else f"{file} has no __global__ function"
        remedy = f"Name one: --kernel {next(iter(signatures))}." if signatures else "Give a file that has one."
        raise KernelFileError(f"{said}.", remedy=remedy, file=str(file))
    chosen = kernel or next(iter(signatures))
    signature = signatures.get(chosen.partition("<")[0].strip())
    if signature is None and "::" not in chosen:
        raise KernelFileError(
            f"there is no kernel `{chosen}`.", remedy=did_you_mean(chosen, signatures), file=str(file)
        )
    if signature is not None and signature.template is not None and "<" not in chosen:
        raise KernelFileError(
            f"`{chosen}` is a template over {', '.join(signature.template)}.",
            remedy=f"Give its arguments: --kernel '{chosen}<...>'.",
            file=str(file),
            line=signature.line,
        )
    unit = TranslationUnit(
        text=_RUNTIME.sub("", text), preamble="", appendix="", names=(chosen,), prelude="ws_plain.cuh"
    )
    artifact = compiler(unit, arch.target)
    if isinstance(artifact, CompileFailed):
        said = artifact.message.replace(HOST, "host code cannot run here").replace(HOST_REMEDY, _WITH_HOST_CODE)
        return artifact.model_copy(update={"message": said})
    module = parse_module(artifact.ptx)
    entry = module.entry(artifact.entries[chosen])
    names = [parameter.name for parameter in signature.parameters] if signature else []
    if len(names) != len(entry.params):
        names = [f"arg{number}" for number in range(len(entry.params))]
    return Source(
        loaded=load(module),
        entry=entry,
        ptx=artifact.ptx,
        text=text,
        parameters=tuple(names),
        resources=artifact.resources[entry.name],
        toolchain=artifact.toolchain.compiler,
        assumed=False,
    )


def _signatures(text: str) -> dict[str, Signature]:
    """Kernels by name; a text whose kernels cannot be told apart has none, and the compiler will say why."""
    try:
        return cpp_signatures(lex(text).tokens)
    except KernelFileError:
        return {}


def _find(entries: list[Entry], kernel: str | None, file: Path) -> Entry:
    """An entry by its whole name, or by the C++ name inside a mangled one."""
    if kernel is None and len(entries) == 1:
        return entries[0]
    names = [entry.name for entry in entries]
    if kernel is None:
        said = f"the file has {len(entries)} entries" if entries else "the file has no .entry"
        remedy = f"Name one: --kernel {names[0]}. {did_you_mean('', names)}" if entries else "Give PTX with a kernel."
        raise KernelFileError(f"{said}.", remedy=remedy, file=str(file))
    found = [entry for entry in entries if entry.name == kernel] or [
        entry for entry in entries if entry.name.startswith("_Z") and f"{len(kernel)}{kernel}" in entry.name
    ]
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join(entry.name for entry in found)
        raise KernelFileError(f"`{kernel}` may be any of {shown}.", remedy="Give the whole name.", file=str(file))
    raise KernelFileError(f"there is no entry `{kernel}`.", remedy=did_you_mean(kernel, names), file=str(file))
