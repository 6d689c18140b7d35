"""Compiles a Triton kernel file's builds into one artifact: screen, call the child, read what it says."""

from __future__ import annotations

import base64
import importlib.metadata
import importlib.util
import re
import sysconfig
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from warpsmith.core.artifact import Artifact, Resources, Toolchain
from warpsmith.core.digest import digest_json
from warpsmith.core.errors import ToolchainError
from warpsmith.core.kernel_file import TritonBuild, TritonUnit
from warpsmith.core.outcome import CompileFailed, Stage
from warpsmith.sandbox.compile.cache import CompileCache
from warpsmith.sandbox.compile.jail import TRITON_CHILD, CompileLimits, Died, TimedOut, call
from warpsmith.sandbox.compile.resource_report import parse_resources
from warpsmith.sandbox.emulator.ptx import PtxSyntaxError, parse_module
from warpsmith.sandbox.screen.triton import check_triton

_ARCHITECTURE = re.compile(r"sm_(\d{2,3})a?")
_REMEDY = "Install warpsmith's dependencies again: `pip install --force-reinstall warpsmith`."
_BLANK_LINE = re.compile(r"^[ \t]+$", re.MULTILINE)
_SCHEME = 1
"""Counts changes in how builds become one module; part of the cache's key."""
_PROBE = (
    "import triton\nimport triton.language as tl\n\n\n"
    "@triton.jit\ndef probe(y):\n    tl.store(y + tl.arange(0, 32), tl.arange(0, 32))\n"
)


def compile_triton(
    unit: TritonUnit, arch: str, cache: CompileCache | None = None, limits: CompileLimits | None = None
) -> Artifact | CompileFailed:
    """Compile every build for `arch` (`sm_80`) in one jailed child.

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
    stored = cache.get(key) if cache is not None else None
    if stored is not None:
        return stored
    result = _compile(unit, arch, limits)
    if cache is not None and isinstance(result, Artifact):
        cache.put(key, result)
    return result


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


def _compile(unit: TritonUnit, arch: str, limits: CompileLimits) -> Artifact | CompileFailed:
    reply = call(_request(unit, arch), limits, TRITON_CHILD)
    if isinstance(reply, TimedOut):
        message = f"compiling takes more than {reply.seconds} seconds. Use smaller blocks, or tl.range in place of "
        return _failed(message + "tl.static_range.")
    if isinstance(reply, Died):
        _prove_the_compiler_works(arch, limits)
        message = f"Triton ended with {reply.reason} (its memory limit is {limits.memory_bytes >> 30} GiB). "
        return _failed(message + "Use smaller blocks and fewer stages.")
    if reply["error"] is not None:
        error = reply["error"]
        details = (f"while compiling {error['build']}",) if error["build"] else ()
        return _failed(_without_paths(error["message"]), error["line"] or None, details)
    if len(reply["ptx"]) > limits.ptx_bytes:
        return _failed(f"the compiled code has {len(reply['ptx'])} characters of PTX, of at most {limits.ptx_bytes}.")
    return _artifact(unit, reply, arch)


def _request(unit: TritonUnit, arch: str) -> dict[str, Any]:
    found = _ARCHITECTURE.fullmatch(arch)
    assert found is not None, "checked before"
    packages = _packages()
    return {
        "text": unit.text,
        "builds": [_plain(build) for build in unit.builds],
        "names": _names(unit),
        "arch": f"{arch}a" if arch == "sm_90" else arch,
        "capability": int(found.group(1)),
        "packages": str(packages),
        "readable": [str(packages), sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), "/dev/null"],
    }


def _names(unit: TritonUnit) -> list[str]:
    """One entry name a build: the number behind it tells specialisations apart."""
    return [f"{build.function}_{index}" for index, build in enumerate(unit.builds)]


def _prove_the_compiler_works(arch: str, limits: CompileLimits) -> None:
    """Tell a candidate that breaks the compiler from a compiler that is broken."""
    build = TritonBuild("probe", "probe", {"y": "*i32"}, {}, ("y",), {"num_warps": 1})
    reply = call(_request(TritonUnit(_PROBE, (build,)), arch), limits, TRITON_CHILD)
    if isinstance(reply, TimedOut | Died) or reply["error"] is not None:
        said = reply["error"]["message"] if isinstance(reply, dict) else reply
        raise ToolchainError(
            f"{_compiler()} cannot compile an empty kernel for {arch}: {said}", remedy="Run `warpsmith doctor`."
        )


def _failed(message: str, line: int | None = None, details: tuple[str, ...] = ()) -> CompileFailed:
    return CompileFailed(stage=Stage.COMPILE, message=message, line=line, details=details)


def _without_paths(message: str) -> str:
    return message.replace(f"{_packages()}/", "").strip() or "the kernel does not compile."


def _artifact(unit: TritonUnit, reply: Mapping[str, Any], arch: str) -> Artifact | CompileFailed:
    try:
        module = parse_module(reply["ptx"])
    except PtxSyntaxError as error:
        return _failed(f"the compiled PTX does not parse: {error}")
    names = _names(unit)
    if sorted(entry.name for entry in module.entries) != sorted(names):
        return _failed("the compiled PTX does not hold one entry for each build.")
    # Triton brings an assembler of its own name for Blackwell.
    log = reply["log"].replace("ptxas-blackwell", "ptxas")
    report = parse_resources(log, {entry.name: entry.max_threads for entry in module.entries})
    if not report.keys() >= {*names}:
        raise ToolchainError(f"The assembler of {_compiler()} does not report registers in the known form.")
    resources = {
        name: _resources(report[name], build, len(module.entry(name).params), metadata)
        for name, build, metadata in zip(names, unit.builds, reply["metadata"], strict=True)
    }
    return Artifact(
        architecture=arch,
        ptx=reply["ptx"],
        cubin=base64.b64decode(reply["cubin"], validate=True),
        entries={build.entry: name for name, build in zip(names, unit.builds, strict=True)},
        resources=resources,
        toolchain=Toolchain(compiler=f"triton {reply['version']}", options=()),
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
