"""Compiles one translation unit: check, assemble, call the child, read what it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from warpsmith.core.artifact import Artifact, Toolchain
from warpsmith.core.candidate import TranslationUnit
from warpsmith.core.digest import digest_json
from warpsmith.core.errors import ToolchainError
from warpsmith.core.outcome import CompileFailed, Stage
from warpsmith.core.record import Record
from warpsmith.sandbox.compile import diagnostics
from warpsmith.sandbox.compile.cache import CompileCache
from warpsmith.sandbox.compile.diagnostics import CANDIDATE, PLAN, PREAMBLE
from warpsmith.sandbox.compile.jail import CompileLimits, call
from warpsmith.sandbox.compile.resource_report import parse_resources
from warpsmith.sandbox.compile.toolchain import CudaToolchain, find_toolchain
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parsed_module
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.reply import checked
from warpsmith.sandbox.jail.worker import Died, Program, TimedOut
from warpsmith.sandbox.screen.source import check_source, includes

ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_90a", "sm_100a", "sm_120a")
OPTIONS = (
    "-std=c++17",
    "-lineinfo",
    "--device-int128",
    "--ptxas-options=-v",
    # `#if STAGES > 2` where STAGES is a constexpr, not a macro: 0 in silence, unless it is a warning.
    "--diag-warn=193",
)
_UNDEFINED_MACRO = 193
_CHILD = Path(__file__).parent / "nvrtc_child.py"
_MAX_HEADLINES = 3
_ELF = b"\x7fELF"
_SUCCESS, _OUT_OF_MEMORY, _COMPILATION_ERROR = 0, 1, 6
_NAME = re.compile(r"[A-Za-z_][\w:<>, ()+\-*/%&|!=.]{0,399}", re.ASCII)
_FILE = re.compile(r'^(\s*\.file\s+\d+\s+)"([^"]*)"', re.MULTILINE)


def compile_cuda(
    unit: TranslationUnit,
    arch: str,
    cache: CompileCache | None = None,
    limits: CompileLimits | None = None,
    level: Level | None = None,
) -> Artifact | CompileFailed:
    """Compile for `arch` (`sm_90a`) in a jailed child, at the best level this machine has or at `level`.

    The texts are screened first (`screen/source.py`). Line numbers of a failure are the kernel file's own.

    Raises:
        ToolchainError: the compiler is missing, or cannot compile even an empty kernel.
        StoreError: the cache cannot be read or written.
    """
    if arch not in ARCHITECTURES:
        raise ToolchainError(f"No compilation for {arch}.", remedy=f"Known are {', '.join(ARCHITECTURES)}.")
    limits = limits or CompileLimits()
    refused = _refused(unit)
    if refused is not None:
        return refused
    toolchain = find_toolchain()
    source = assemble(unit)
    key = digest_json(
        {
            "source": source,
            "names": list(unit.names),
            "arch": arch,
            "options": list(_options(unit.prelude)),
            "compiler": toolchain.name,
            "prelude": toolchain.prelude_digest,
        }
    )
    compilation = _Compilation(source, unit.names, _options(unit.prelude), arch, toolchain, limits, level)
    return compilation.result() if cache is None else cache.once(key, compilation.result)


def assemble(unit: TranslationUnit) -> str:
    """The text the compiler reads: headers, preamble, kernel file, assertions, each with its own line numbers."""
    hoisted = "".join(f"#include <{header}>\n" for header in includes(unit.text))
    return (
        f'#line 1 "{PREAMBLE}"\n{hoisted}{unit.preamble}\n\n'
        f'#line 1 "{CANDIDATE}"\n{unit.text}\n\n'
        f'#line 1 "{PLAN}"\n{unit.appendix}\n'
    )


def _refused(unit: TranslationUnit) -> CompileFailed | None:
    problem = check_source(unit.text)
    if problem is not None:
        return CompileFailed(
            stage=Stage.SCREEN, message=f"{problem.message} {problem.remedy}".strip(), line=problem.line
        )
    for text in (unit.preamble, unit.appendix):
        # Parts of them are the plan's words.
        problem = check_source(text)
        if problem is not None:
            return CompileFailed(stage=Stage.SCREEN, message=f"the launch plan: {problem.message} {problem.remedy}")
    for name in unit.names:
        if not _NAME.fullmatch(name):
            return CompileFailed(
                stage=Stage.SCREEN,
                message=f"`{name[:80]}` is not the name of a kernel. Write it as in a launch: `gemm<BM, BN>`.",
            )
    return None


class Compiled(Record):
    """What the child says, whatever it is that speaks there."""

    status: int
    """`nvrtcResult`."""
    log: str
    ptx: str
    names: dict[str, str]
    """Name expression -> mangled name."""


@dataclass(frozen=True, slots=True)
class _Compilation:
    source: str
    names: tuple[str, ...]
    options: tuple[str, ...]
    arch: str
    toolchain: CudaToolchain
    limits: CompileLimits
    level: Level | None

    def result(self) -> Artifact | CompileFailed:
        reply = self.asked(self.source, self.names)
        if isinstance(reply, TimedOut):
            return _failed(
                f"compiling takes more than {reply.seconds:g} seconds. Unroll less, instantiate fewer templates, or "
                "shorten tables and the text itself."
            )
        if isinstance(reply, Died) and reply.too_long:
            most = self.limits.output_bytes >> 20
            return _failed(
                f"the compiler has more than {most} MiB to return: code, tables and messages. Shorten tables, unroll "
                "less, and mend what it warns of."
            )
        if isinstance(reply, Died):
            self._prove_the_compiler_works()
            return _failed(
                f"the compiler ended with {reply.reason} (its memory limit is {self.limits.memory_bytes >> 30} GiB). "
                "Unroll less, nest less deeply, or simplify the templates and inline assembly."
            )
        compiled, cubin = reply
        if compiled.status == _COMPILATION_ERROR:
            return _explained(compiled, self.toolchain)
        if compiled.status == _OUT_OF_MEMORY:
            return _failed("the compiler ran out of memory. Unroll less, or instantiate fewer templates.")
        if compiled.status != _SUCCESS:
            self._prove_the_compiler_works()
            return _failed(f"the compiler gave up with NVRTC status {compiled.status}.")
        return self._artifact(compiled, cubin)

    def asked(self, source: str, names: tuple[str, ...]) -> tuple[Compiled, bytes] | TimedOut | Died:
        request = request_for(source, names, self.options, self.arch, self.toolchain)
        reply = checked(call(program(self.toolchain), request, self.limits, self.level), Compiled, blobs=1)
        if isinstance(reply, TimedOut | Died):
            return reply
        compiled, (cubin,) = reply
        if compiled.status == _SUCCESS and not (cubin.startswith(_ELF) and {*compiled.names} == {*names}):
            return Died("a reply that is no compiled code")
        return compiled, cubin

    def _prove_the_compiler_works(self) -> None:
        """Tell a candidate that breaks the compiler from a compiler that is broken."""
        reply = self.asked("__global__ void k() {}\n", ("k",))
        if isinstance(reply, TimedOut | Died) or reply[0].status != _SUCCESS:
            said = reply if isinstance(reply, TimedOut | Died) else reply[0].log.strip()[:400]
            raise ToolchainError(
                f"{self.toolchain.name} cannot compile an empty kernel for {self.arch}: {said}",
                remedy="Run `warpsmith doctor`.",
            )

    def _artifact(self, reply: Compiled, cubin: bytes) -> Artifact | CompileFailed:
        found = diagnostics.parse_log(reply.log, self.toolchain.include)
        for warning in found:
            if warning.number == _UNDEFINED_MACRO and warning.file == CANDIDATE:
                return _failed(
                    f"{warning.headline}. Knobs, constants and dimensions are not macros: "
                    "use `if constexpr` or a template argument instead of #if.",
                    warning.candidate_line,
                    diagnostics.rendered([warning]),
                )
        most = self.limits.ptx_bytes
        if len(reply.ptx) > most:
            return _failed(
                f"the compiled code has {len(reply.ptx):,} characters of PTX, of at most {most:,}. Unroll less, "
                "instantiate fewer templates, or shorten tables."
            )
        ptx = _FILE.sub(lambda file: f'{file.group(1)}"{_short(file.group(2), self.toolchain)}"', reply.ptx)
        return Artifact(
            architecture=self.arch,
            ptx=ptx,
            cubin=cubin,
            entries=reply.names,
            resources=parse_resources(reply.log, _max_threads(ptx)),
            toolchain=Toolchain(
                compiler=self.toolchain.name, options=(f"--gpu-architecture={self.arch}", *self.options)
            ),
            warnings=tuple(warning.headline for warning in found if warning.file in (CANDIDATE, PLAN)),
        )


def program(toolchain: CudaToolchain) -> Program:
    """The child with this compiler loaded. With a candidate's text in hand it reads headers, and nothing else."""
    setup = {"library": str(toolchain.library), "preload": [str(library) for library in toolchain.builtins]}
    include = [str(folder) for folder in toolchain.include]
    return Program.of(_CHILD, setup, loads=[str(toolchain.library.parent)], readable=include)


def _options(prelude: str) -> tuple[str, ...]:
    return (*OPTIONS, f"--pre-include={prelude}")


def request_for(
    source: str, names: tuple[str, ...], options: tuple[str, ...], arch: str, toolchain: CudaToolchain
) -> dict[str, Any]:
    """What the child is asked."""
    return {
        "source": source,
        "names": list(names),
        "arch": arch,
        "virtual": arch.replace("sm_", "compute_"),
        "options": [*options, *(f"-I{folder}" for folder in toolchain.include)],
    }


def _failed(message: str, line: int | None = None, details: tuple[str, ...] = ()) -> CompileFailed:
    return CompileFailed(stage=Stage.COMPILE, message=message, line=line, details=details)


def _explained(reply: Compiled, toolchain: CudaToolchain) -> CompileFailed:
    found = diagnostics.parse_log(reply.log, toolchain.include, reply.ptx)
    errors = [diagnostic for diagnostic in found if diagnostic.is_error]
    if not errors:
        return _failed("the text does not compile, and the compiler does not say where.")
    headlines = list(dict.fromkeys(error.headline for error in errors))[:_MAX_HEADLINES]
    return _failed("\n".join(headlines), errors[0].candidate_line, diagnostics.rendered(errors))


def _short(path: str, toolchain: CudaToolchain) -> str:
    """A `.file` path without this machine's folders, so that equal builds give equal PTX anywhere."""
    pure = PurePath(path)
    for folder in reversed(toolchain.include):
        if pure.is_relative_to(folder):
            return f"sdk/{pure.relative_to(folder)}"
    return pure.name


def _max_threads(ptx: str) -> dict[str, int | None]:
    try:
        return {entry.name: entry.max_threads for entry in parsed_module(ptx).entries}
    except PtxSyntaxError:
        # The screen refuses such PTX before anybody asks for its limits.
        return {}
