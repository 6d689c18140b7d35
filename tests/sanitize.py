"""Runs the emulator's conformance suite on a VM built with AddressSanitizer and UBSan: `make sanitize`.

The library lies in an import tree of its own under `build/sanitize`, links to this checkout but for the VM's folder, so
that the ordinary library is never touched. The suite runs once on the portable machine and once on the best one of
this processor. Python is not built with the sanitizers, so their runtimes are preloaded; whatever they report, even
what lets the program go on, fails the run.

Needs g++ (its `libasan` and `libubsan`) and Linux.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import sysconfig
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from setup import COMMON_FLAGS, FLAGS, FOLDERS, VM, source_digest

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "sanitize"
TREE = BUILD / "tree"
CHECKS = ["-fsanitize=address,undefined,float-cast-overflow", "-fno-omit-frame-pointer", "-g1", "-O1"]
SUITE = (
    "test_conformance_executors.py",
    "test_counters_of_*.py",
    "test_conformance_lanes.py",
    "test_executor*.py",
    "test_*_rows.py",
    "checkers/test_flags.py",
    "checkers/test_fragments.py",
    "checkers/test_lanes.py",
    "checkers/test_loops.py",
    "checkers/test_mbarriers.py",
    "checkers/test_protocols.py",
    "test_meetings.py",
    "test_random_programs.py",
    "test_vm_*.py",
)
MACHINES = {"avx512": "avx512f", "avx2": "avx2"}
"""Builds of the machine that need more than any x86-64 processor has, best first, and the flag that tells of it."""

REPORTED = 20_000
"""Characters of the runtimes' reports that are shown; the rest lies in the report's file."""


def best_machine() -> str:
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8").split()
    return next((name for name, flag in MACHINES.items() if flag in cpu), "portable")


def compile_object(source: str, digest: str) -> tuple[Path, subprocess.Popen[bytes]]:
    target = BUILD / f"{Path(source).stem}.o"
    include = f"-I{sysconfig.get_paths()['include']}"
    command = ["g++", *COMMON_FLAGS, *FLAGS[source], *CHECKS, "-fPIC", include, f'-DWS_SOURCE_DIGEST="{digest}"']
    return target, subprocess.Popen([*command, "-c", str(ROOT / VM / source), "-o", str(target)])


def build(machine: str) -> None:
    """The library with its host part, the portable machine and `machine`, unless these sources' is there."""
    digest, stamp = source_digest(), BUILD / "digest"
    if stamp.exists() and stamp.read_text() == digest + machine:
        return
    BUILD.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    sources = ["host.cpp", *dict.fromkeys(["machine_portable.cpp", f"machine_{machine}.cpp"])]
    compiling = [compile_object(source, digest) for source in sources]
    statuses = [process.wait() for _, process in compiling]
    if any(statuses):
        sys.exit("the VM did not compile with the sanitizers; it needs g++ and its libasan and libubsan")
    # The host part names every machine; those not built here are the portable one.
    missing = [f"-Wl,--defsym=ws_machine_{name}=ws_machine_portable" for name in MACHINES if name != machine]
    library = TREE / "warpsmith" / VM / "_vm.abi3.so"
    lay_tree(library.parent)
    command = ["g++", "-shared", "-pthread", *CHECKS, *missing, *(str(target) for target, _ in compiling)]
    subprocess.run([*command, "-o", library], check=True)
    stamp.write_text(digest + machine)


def lay_tree(vm: Path) -> None:
    """`warpsmith` as links to the checkout; the folders above the VM are real, so that the VM's can differ."""
    vm.mkdir(parents=True, exist_ok=True)
    real = [TREE / "warpsmith", *(vm.parents[i] for i in range(2)), vm]
    sources = {path.name: path for path in (ROOT / "src" / "warpsmith").iterdir()}
    sources |= {folder: ROOT / folder for folder in FOLDERS}
    link(TREE / "warpsmith", sources)
    for folder in real[1:]:
        inside = ROOT / folder.relative_to(TREE / "warpsmith")
        link(folder, {path.name: path for path in inside.iterdir() if path.suffix != ".so"})


def link(folder: Path, entries: dict[str, Path]) -> None:
    for old in folder.iterdir():
        if old.is_symlink():
            old.unlink()
    for name, target in entries.items():
        if name != "__pycache__" and not (folder / name).exists():
            (folder / name).symlink_to(target)


def runtimes() -> str:
    """What to preload: the sanitizers' libraries of this compiler."""
    found = [
        subprocess.run(["g++", f"-print-file-name={name}"], check=True, capture_output=True, text=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so", "libstdc++.so")
    ]
    return " ".join(found)


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def run_suite(machine: str, arguments: list[str]) -> bool:
    """Whether the suite passes on a machine with no report."""
    environment = os.environ | {
        "LD_PRELOAD": runtimes(),
        # The interpreter and the libraries it loads keep memory until the end.
        "ASAN_OPTIONS": "detect_leaks=0",
        # Every object of Python's gets its own guarded block.
        "PYTHONMALLOC": "malloc",
        "PYTHONPATH": str(TREE),
        "PYTHONDONTWRITEBYTECODE": "1",
        "HYPOTHESIS_STORAGE_DIRECTORY": str(BUILD / "hypothesis"),
    }
    folder = ROOT / "tests" / "emulated"
    files = sorted(str(path) for pattern in SUITE for path in folder.glob(pattern))
    # pytest would keep to itself what the runtimes say during a test that passes.
    command = [sys.executable, "-m", "pytest", "-q", "--capture=no", "-m", "not full", "-p", "no:cacheprovider"]
    command += [f"--isa={machine}", "--sanitized", *files, *arguments]
    say(f"[sanitize] {machine}")
    report = BUILD / f"report-{machine}.txt"
    with report.open("w") as errors:
        passed = subprocess.run(command, cwd=ROOT, env=environment, stderr=errors, check=False).returncode == 0
    found = report.read_text(errors="replace")
    say(found[:REPORTED])
    return passed and not any(mark in found for mark in ("runtime error:", "AddressSanitizer:"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--machine", help="run on this machine alone: portable, avx2 or avx512")
    parser.add_argument("arguments", nargs="*", help="passed to pytest, behind --")
    asked = parser.parse_args()
    best = asked.machine or best_machine()
    build(best)
    machines = [best] if asked.machine else list(dict.fromkeys(("portable", best)))
    passed = [run_suite(machine, asked.arguments) for machine in machines]
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main())
