"""Compiles a Triton kernel file's builds into one artifact: screen, call the child, read what it says."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from warpsmith.core.artifact import Artifact, Resources, Toolchain
from warpsmith.core.digest import digest_json
from warpsmith.core.errors import ToolchainError
from warpsmith.core.kernel_file import TritonBuild, TritonUnit
from warpsmith.core.outcome import CompileFailed, Stage
from warpsmith.core.record import Record
from warpsmith.sandbox.compile.cache import CompileCache
from warpsmith.sandbox.compile.jail import CompileLimits, call
from warpsmith.sandbox.compile.resource_report import parse_resources
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parsed_module
from warpsmith.sandbox.jail.levels import Level
from warpsmith.sandbox.jail.reply import checked
from warpsmith.sandbox.jail.worker import Died, Program, TimedOut
from warpsmith.sandbox.screen.triton import check_triton

_ARCHITECTURE = re.compile(r"sm_(\d{2,3})a?")
_ASSEMBLED = re.compile(r"line (\d+); (?:error|fatal)\s*: (.*)")
_FOLDER = Path(__file__).parent
_ELF = b"\x7fELF"
_BLACKWELL = 100
"""Compute capability from which Triton brings another assembler."""
_METADATA = ("shared", "global_scratch_size", "profile_scratch_size")
_MOST_TEXT = 800
_REMEDY = "Install warpsmith's dependencies again: `pip install --force-reinstall warpsmith`."
_BLANK_LINE = re.compile(r"^[ \t]+$", re.MULTILINE)
_SCHEME = 1
"""Counts changes in how builds become one module; part of the cache's key."""
_PROBE = (
    "import triton\nimport triton.language as tl\n\n\n"
    "@triton.jit\ndef probe(y):\n    tl.store(y + tl.arange(0, 32), tl.arange(0, 32))\n"
)


def compile_triton(
    unit: TritonUnit,
    arch: str,
    cache: CompileCache | None = None,
    limits: CompileLimits | None = None,
    level: Level | None = None,
) -> Artifact | CompileFailed:
    """Compile every build for `arch` (`sm_80`) in a jailed child, at the best level this machine has or at `level`.

    The text is screened first (`screen/triton.py`) and never imported. The artifact's PTX holds one entry a build;
    its cubin is assembled from that PTX. Line numbers of a failure are the kernel file's own.

    Raises:
        ToolchainError: Triton is missing, or cannot compile even an empty kernel.
        StoreError: the cache cannot be read or written.
    """
    if _ARCHITECTURE.fullmatch(arch) is None:
        raise ToolchainError(f"No compilation for {arch}.", remedy="Name it as in `sm_80`.")
    unit = replace(unit, text=_normalised(unit.text))
    problem = check_triton(unit.text)
    if problem is not None:
        message = f"{problem.message} {problem.remedy}".strip()
        return CompileFailed(stage=Stage.SCREEN, message=message, line=problem.line)
    limits = limits or CompileLimits()
    key = digest_json(
        {
            "text": unit.text,
            "builds": [_plain(build) for build in unit.builds],
            "arch": arch,
            "compiler": _compiler(),
            "scheme": _SCHEME,
        }
    )
    compilation = _Compilation(unit, arch, limits, level)
    return compilation.result() if cache is None else cache.once(key, compilation.result)


def _normalised(text: str) -> str:
    """The text as Triton reads it: it drops blanks on blank lines, and knows one kind of line end."""
    return _BLANK_LINE.sub("", text.replace("\r\n", "\n"))


def _plain(build: TritonBuild) -> dict[str, Any]:
    return asdict(replace(build, types=dict(build.types), constants=dict(build.constants), options=dict(build.options)))


def _compiler() -> str:
    try:
        return f"triton {importlib.metadata.version('triton')}"
    except importlib.metadata.PackageNotFoundError as error:
        raise ToolchainError("Triton is not installed.", remedy=_REMEDY) from error


def _packages() -> Path:
    """The folder that Triton is installed in."""
    spec = importlib.util.find_spec("triton")
    if spec is None or spec.origin is None:
        raise ToolchainError("Triton is not installed.", remedy=_REMEDY)
    return Path(spec.origin).parents[1]


class Lowered(Record):
    """What Triton's child says, whatever it is that speaks there."""

    message: str
    """Of the failure; empty where there is none."""
    line: int
    build: str
    ptx: str
    metadata: tuple[dict[str, int], ...]
    """One a build."""
    version: str


class Assembled(Record):
    """What the assembler's child says."""

    status: int
    log: str


@dataclass(frozen=True, slots=True)
class _Compilation:
    unit: TritonUnit
    arch: str
    limits: CompileLimits
    level: Level | None

    def result(self) -> Artifact | CompileFailed:
        lowered = self._lowered(self.unit)
        if isinstance(lowered, TimedOut):
            count = len(self.unit.builds)
            what = f"compiling {count} builds" if count > 1 else "compiling"
            said = f"{what} takes more than {lowered.seconds:g} seconds. Use smaller blocks, or range in place of "
            return _failed(f"{said}tl.static_range{', and fewer values of constexprs' if count > 1 else ''}.")
        if isinstance(lowered, Died):
            self._prove_the_compiler_works()
            message = f"Triton ended with {lowered.reason} (its memory limit is {self.limits.memory_bytes >> 30} GiB). "
            return _failed(message + "Use smaller blocks and fewer stages.")
        if lowered.message:
            details = (f"while compiling {lowered.build}",) if lowered.build else ()
            return _failed(_without_paths(lowered.message), lowered.line or None, details)
        if len(lowered.ptx) > self.limits.ptx_bytes:
            most = self.limits.ptx_bytes
            return _failed(f"the compiled code has {len(lowered.ptx)} characters of PTX, of at most {most}.")
        return self._assembled(lowered)

    def _lowered(self, unit: TritonUnit) -> Lowered | TimedOut | Died:
        request = {
            "text": unit.text,
            "builds": [_plain(build) for build in unit.builds],
            "names": _names(unit),
            "capability": self._capability,
        }
        reply = checked(call(self._triton(), request, self.limits, self.level), Lowered, blobs=0)
        if isinstance(reply, TimedOut | Died):
            return reply
        if not reply[0].message and not self._fits(unit, reply[0]):
            return Died("a reply that is no compiled code")
        return reply[0]

    @staticmethod
    def _fits(unit: TritonUnit, lowered: Lowered) -> bool:
        """Whether it holds what the artifact is made of."""
        return len(lowered.metadata) == len(unit.builds) and all(
            {*found} >= {*_METADATA} and min(found.values()) >= 0 for found in lowered.metadata
        )

    def _assembled(self, lowered: Lowered) -> Artifact | CompileFailed:
        target = f"{self.arch}a" if self.arch == "sm_90" else self.arch
        asked = call(self._assembler(), {"arch": target}, self.limits, self.level, [lowered.ptx.encode()])
        reply = checked(asked, Assembled, blobs=1)
        if isinstance(reply, TimedOut):
            return _failed(f"assembling takes more than {reply.seconds:g} seconds. Use smaller blocks.")
        if isinstance(reply, Died):
            self._prove_the_compiler_works()
            return _failed(f"the assembler ended with {reply.reason}. Use smaller blocks and fewer stages.")
        said, (cubin,) = reply
        if said.status or not cubin.startswith(_ELF):
            return _refused(said, lowered.ptx)
        return _artifact(self.unit, lowered, said.log, cubin, self.arch)

    @property
    def _capability(self) -> int:
        found = _ARCHITECTURE.fullmatch(self.arch)
        assert found is not None, "checked before"
        return int(found.group(1))

    def _triton(self) -> Program:
        """With a candidate's text in hand, it reads Triton and Python's library, and nothing else."""
        triton = str(_packages() / "triton")
        library = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")]
        setup = {"packages": str(_packages()), "capability": self._capability}
        return Program.of(_FOLDER / "triton_child.py", setup, readable=[triton, *library], scratch=True)

    def _assembler(self) -> Program:
        name = "ptxas-blackwell" if self._capability >= _BLACKWELL else "ptxas"
        assembler = str(_packages() / "triton" / "backends" / "nvidia" / "bin" / name)
        setup = {"assembler": assembler}
        return Program.of(_FOLDER / "ptxas_child.py", setup, executable=assembler, scratch=True)

    def _prove_the_compiler_works(self) -> None:
        """Tell a candidate that breaks the compiler from a compiler that is broken."""
        build = TritonBuild("probe", "probe", {"y": "*i32"}, {}, ("y",), {"num_warps": 1})
        probe = replace(self, unit=TritonUnit(_PROBE, (build,)))
        lowered = probe._lowered(probe.unit)
        said = lowered if isinstance(lowered, TimedOut | Died) else lowered.message
        if not said and isinstance(lowered, Lowered):
            asked = call(self._assembler(), {"arch": self.arch}, self.limits, self.level, [lowered.ptx.encode()])
            said = asked if isinstance(asked, TimedOut | Died) else ""
        if said:
            raise ToolchainError(
                f"{_compiler()} cannot compile an empty kernel for {self.arch}: {said}",
                remedy="Run `warpsmith doctor`.",
            )


def _refused(said: Assembled, ptx: str) -> CompileFailed:
    """The assembler's first error, at the candidate's line that it comes from."""
    found = _ASSEMBLED.search(said.log)
    lines = said.log.strip().splitlines()
    text = found.group(2) if found else lines[-1] if lines else f"status {said.status}"
    line = _source_line(ptx, int(found.group(1))) if found else 0
    return _failed(_without_paths(f"the assembler says: {text}"[:_MOST_TEXT]), line or None)


def _source_line(ptx: str, line: int) -> int:
    """Candidate's line that a PTX line comes from; 0 where unknown."""
    for text in reversed(ptx.splitlines()[:line]):
        if ".entry" in text:
            return 0
        found = re.match(r"\s*\.loc\s+1\s+(\d+)", text)
        if found is not None:
            return int(found.group(1))
    return 0


def _names(unit: TritonUnit) -> list[str]:
    """One entry name a build: the number behind it tells specialisations apart."""
    return [f"{build.function}_{index}" for index, build in enumerate(unit.builds)]


def _failed(message: str, line: int | None = None, details: tuple[str, ...] = ()) -> CompileFailed:
    return CompileFailed(stage=Stage.COMPILE, message=message, line=line, details=details)


def _without_paths(message: str) -> str:
    return message.replace(f"{_packages()}/", "").strip() or "the kernel does not compile."


def _artifact(unit: TritonUnit, reply: Lowered, log: str, cubin: bytes, arch: str) -> Artifact | CompileFailed:
    try:
        module = parsed_module(reply.ptx)
    except PtxSyntaxError as error:
        return _failed(f"the compiled PTX does not parse: {error}")
    names = _names(unit)
    if sorted(entry.name for entry in module.entries) != sorted(names):
        return _failed("the compiled PTX does not hold one entry for each build.")
    # Triton brings an assembler of its own name for Blackwell.
    log = log.replace("ptxas-blackwell", "ptxas")
    report = parse_resources(log, {entry.name: entry.max_threads for entry in module.entries})
    if not report.keys() >= {*names}:
        raise ToolchainError(f"The assembler of {_compiler()} does not report registers in the known form.")
    resources = {
        name: _resources(report[name], build, len(module.entry(name).params), metadata)
        for name, build, metadata in zip(names, unit.builds, reply.metadata, strict=True)
    }
    return Artifact(
        architecture=arch,
        ptx=reply.ptx,
        cubin=cubin,
        entries={build.entry: name for name, build in zip(names, unit.builds, strict=True)},
        resources=resources,
        toolchain=Toolchain(compiler=_compiler(), options=()),
    )


def _resources(report: Resources, build: TritonBuild, parameters: int, metadata: Mapping[str, int]) -> Resources:
    if metadata["profile_scratch_size"]:
        raise ToolchainError("Triton instruments kernels for its profiler.", remedy="Unset TRITON_* variables.")
    passed = sum(kind != "constexpr" for kind in build.types.values())
    return report.model_copy(
        update={
            "dynamic_shared": metadata["shared"],
            "hidden_pointers": parameters - passed,
            "scratch": metadata["global_scratch_size"],
        }
    )
